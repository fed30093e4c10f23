"""What the page computes: who an image shows, how similar two images are, and where the model responds in them."""

import math
from dataclasses import dataclass, field

from PIL import Image

from torchreid_rgbir.data.images import decode_image, read_image
from torchreid_rgbir.modality import modality_of
from torchreid_rgbir.retrieval.extractor import Extractor
from torchreid_rgbir.retrieval.gallery import Gallery
from torchreid_rgbir.retrieval.identify import Answer, identify
from torchreid_rgbir.retrieval.reference_table import EVERYTHING, Filter, ReferenceMatch, ReferenceTable
from torchreid_rgbir.retrieval.references import References

TOPK = 12
PREVIEW = (320, 320)  # largest width and height of an image on the page, in pixels


@dataclass(frozen=True)
class Upload:
    """An uploaded image. Only these two small copies exist after it was read.

    Attributes:
        pixels: the image in the size that the model takes.
        preview: the image for the page, at most `PREVIEW`.
    """

    pixels: Image.Image
    preview: Image.Image


@dataclass(frozen=True)
class Answers:
    """A model and its references.

    Attributes:
        modality: "rgb" or "ir", of the references.
        threshold: a score below it means "unknown". None: there is no threshold.
        false_match_rate: share of unknown people that reached the threshold when it was calibrated. None: not known.
        rows: the table of the references.
    """

    extractor: Extractor
    references: References | Gallery
    modality: str
    threshold: float | None = None
    false_match_rate: float | None = None
    rows: ReferenceTable = field(init=False)

    def __post_init__(self) -> None:
        rows = self.references.rows() if isinstance(self.references, Gallery) else self.references.rows
        if not len(rows):
            raise ValueError("there is no reference to compare with: add images with `torchreid-rgbir gallery add`")
        object.__setattr__(self, "rows", rows)

    def read(self, data: bytes) -> Upload:
        """Reads an uploaded file.

        Raises:
            ValueError: it is not an image that can be read.
        """
        image = decode_image(data, self.extractor.ir_range)
        # The extractor resizes in the same way, and does not change an image that has its size.
        pixels = image.resize((self.extractor.width, self.extractor.height), Image.Resampling.BILINEAR)
        return Upload(pixels, as_preview(image))

    def identify(self, upload: Upload, modality: str, where: Filter = EVERYTHING) -> Answer:
        """Ranks up to `TOPK` categories of the references that the filter selects.

        Args:
            modality: "rgb" or "ir", of the image.

        Raises:
            ValueError: the filter selects no reference.
        """
        # Without a threshold the page shows scores and no decision, so one category is enough.
        threshold = -math.inf if self.threshold is None else self.threshold
        [answer] = identify(self.extractor(upload.pixels, modality), self.references, TOPK, threshold, where)
        return answer

    def compare(self, first: Upload, first_modality: str, second: Upload, second_modality: str) -> float:
        """Returns the cosine of the features of two images, in [-1, 1]."""
        a, b = self.extractor(first.pixels, first_modality), self.extractor(second.pixels, second_modality)
        return float((a * b).sum())

    def reference_image(self, match: ReferenceMatch) -> Image.Image:
        """Reads the image of a reference.

        Raises:
            FileNotFoundError, ValueError: the file was moved or cannot be read.
        """
        return read_image(match.path, self.extractor.ir_range)

    def activation(self, upload: Upload, modality: str, match: ReferenceMatch) -> Image.Image:
        """Draws where the model responds in an image and in a reference.

        Raises:
            FileNotFoundError, ValueError: the file of the reference was moved or cannot be read.
            MissingExtra: matplotlib is not installed.
        """
        from torchreid_rgbir.visual.activation import draw_activations
        from torchreid_rgbir.visual.samples import as_samples

        extractor = self.extractor
        about = {"height": extractor.height, "width": extractor.width}
        about |= {"norm_mean": extractor.mean, "norm_std": extractor.std}
        pictures = ((upload.pixels, modality), (self.reference_image(match), self.modality))
        groups = [as_samples([picture], modality_of(name), about) for picture, name in pictures]
        return draw_activations(extractor.model, groups)


def as_preview(image: Image.Image) -> Image.Image:
    """Returns a copy of at most `PREVIEW` pixels."""
    small = image.copy()
    small.thumbnail(PREVIEW)
    return small
