"""Pictures of results."""

from torchreid_rgbir.visual.ranked import Match, draw_ranked, ranked_lists, save_picture

__all__ = ["Match", "draw_ranked", "ranked_lists", "save_picture"]
