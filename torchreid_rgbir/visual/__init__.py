"""Figures of results. Each module draws one figure from lists and arrays."""

from torchreid_rgbir.visual.ranked import draw_ranked, save_picture

__all__ = ["draw_ranked", "save_picture"]
