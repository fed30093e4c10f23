"""Use of a trained model: features of a user's images, galleries, identification.

`Extractor` is imported on first use, so that reading a gallery does not import torch.
"""

from typing import TYPE_CHECKING, Any

from torchreid_rgbir.retrieval.calibrate import Calibration, calibrate
from torchreid_rgbir.retrieval.gallery import Gallery
from torchreid_rgbir.retrieval.identify import Answer, identify
from torchreid_rgbir.retrieval.image_table import read_image_table
from torchreid_rgbir.retrieval.reference_table import Filter, ReferenceMatch, ReferenceTable
from torchreid_rgbir.retrieval.references import References

if TYPE_CHECKING:
    from torchreid_rgbir.retrieval.extractor import Extractor

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
    "identify",
    "read_image_table",
]


def __getattr__(name: str) -> Any:
    if name != "Extractor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from torchreid_rgbir.retrieval.extractor import Extractor

    return Extractor
