"""Renders people as RGB and infrared cameras see them, and writes data sets of them in every official layout."""

from torchreid_rgbir.synthetic.benchmark import RGBIRSynthetic
from torchreid_rgbir.synthetic.write import is_written, synthesize

__all__ = ["RGBIRSynthetic", "is_written", "synthesize"]
