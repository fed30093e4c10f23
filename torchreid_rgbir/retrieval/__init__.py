"""From a trained model to an answer: features of one's own images, galleries, identification."""

from torchreid_rgbir.retrieval.calibrate import Calibration, calibrate
from torchreid_rgbir.retrieval.extractor import Extractor
from torchreid_rgbir.retrieval.gallery import Gallery
from torchreid_rgbir.retrieval.identify import Answer, identify
from torchreid_rgbir.retrieval.listing import read_listing
from torchreid_rgbir.retrieval.references import References
from torchreid_rgbir.retrieval.rows import Match, Rows, Where

__all__ = [
    "Answer",
    "Calibration",
    "Extractor",
    "Gallery",
    "Match",
    "References",
    "Rows",
    "Where",
    "calibrate",
    "identify",
    "read_listing",
]
