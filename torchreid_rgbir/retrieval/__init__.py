"""From a trained model to an answer: features of one's own images, galleries, identification."""

from torchreid_rgbir.retrieval.calibrate import Calibration, calibrate
from torchreid_rgbir.retrieval.extractor import Extractor
from torchreid_rgbir.retrieval.gallery import Gallery
from torchreid_rgbir.retrieval.identify import Answer, identify
from torchreid_rgbir.retrieval.image_table import read_image_table
from torchreid_rgbir.retrieval.reference_table import Filter, Match, ReferenceTable
from torchreid_rgbir.retrieval.references import References

__all__ = [
    "Answer",
    "Calibration",
    "Extractor",
    "Gallery",
    "Match",
    "References",
    "ReferenceTable",
    "Filter",
    "calibrate",
    "identify",
    "read_image_table",
]
