"""Use of a trained model: features of a user's images and videos, galleries, identification.

Names that need torch or scipy are imported on first use, so that reading a gallery does not import them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from torchreid_rgbir.retrieval.boxes import read_boxes
from torchreid_rgbir.retrieval.calibrate import Calibration, calibrate
from torchreid_rgbir.retrieval.gallery import Gallery
from torchreid_rgbir.retrieval.identify import Answer, identify
from torchreid_rgbir.retrieval.reference_table import Filter, ReferenceMatch, ReferenceTable
from torchreid_rgbir.retrieval.references import References

if TYPE_CHECKING:
    from torchreid_rgbir.retrieval.extractor import Extractor
    from torchreid_rgbir.retrieval.image_table import read_image_table
    from torchreid_rgbir.retrieval.match import match_tracks
    from torchreid_rgbir.retrieval.tracks import extract_tracks

__all__ = [
    "Answer",
    "Calibration",
    "Extractor",
    "Filter",
    "Gallery",
    "ReferenceMatch",
    "ReferenceTable",
    "References",
    "calibrate",
    "extract_tracks",
    "identify",
    "match_tracks",
    "read_boxes",
    "read_image_table",
]


def __getattr__(name: str) -> Any:
    modules = {
        "Extractor": "extractor",
        "extract_tracks": "tracks",
        "match_tracks": "match",
        "read_image_table": "image_table",
    }
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{modules[name]}"), name)
