"""Use of a trained model: features of a user's images, galleries, identification.

`Extractor` and `read_image_table` are imported on first use, so that reading a gallery does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from torchreid_rgbir.retrieval.calibrate import Calibration, calibrate
from torchreid_rgbir.retrieval.gallery import Gallery
from torchreid_rgbir.retrieval.identify import Answer, identify
from torchreid_rgbir.retrieval.reference_table import Filter, ReferenceMatch, ReferenceTable
from torchreid_rgbir.retrieval.references import References

if TYPE_CHECKING:
    from torchreid_rgbir.retrieval.extractor import Extractor
    from torchreid_rgbir.retrieval.image_table import read_image_table

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
    modules = {"Extractor": "extractor", "read_image_table": "image_table"}
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{modules[name]}"), name)
