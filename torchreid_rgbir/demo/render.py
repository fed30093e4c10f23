"""Writes the answers of the page as HTML. Every image is a part of the text, so that no file is made for it."""

from pathlib import Path

from PIL import Image

from torchreid_rgbir.demo.answers import Answers, Upload, as_preview
from torchreid_rgbir.extras import require
from torchreid_rgbir.retrieval.identify import Answer
from torchreid_rgbir.retrieval.reference_table import ReferenceMatch
from torchreid_rgbir.visual.page import data_uri

require("visual", "jinja2")
from jinja2 import Environment, StrictUndefined  # noqa: E402

_TEMPLATE = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
    Path(__file__).with_name("answers.html").read_text(encoding="utf-8")
)


def start(answers: Answers) -> str:
    """Describes the references, before an image is chosen."""
    return _macro("start", answers, len(answers.rows), len(set(answers.rows.categories)))


def ranked(answers: Answers, upload: Upload, modality: str, answer: Answer) -> str:
    """Shows an image and its ranked references."""
    sources = [_reference_source(answers, match) for match in answer.matches]
    return _macro("ranked", answers, _source(upload.preview), modality, answer, sources)


def compared(answers: Answers, images: list[tuple[Upload, str]], score: float) -> str:
    """Shows two images, each given with its modality, and how similar they are."""
    return _macro("compared", answers, [(_source(upload.preview), modality) for upload, modality in images], score)


def activation(drawn: Image.Image, match: ReferenceMatch) -> str:
    """Shows the figure of `Answers.activation`."""
    return _macro("activation", _source(drawn), match)


def hint(text: str) -> str:
    """Says what to do next."""
    return _macro("hint", text)


def problem(text: str) -> str:
    """Says what is wrong."""
    return _macro("problem", text)


def _macro(name: str, *values: object) -> str:
    return str(getattr(_TEMPLATE.module, name)(*values))


def _reference_source(answers: Answers, match: ReferenceMatch) -> str:
    """Returns the image of a reference, or an empty text if its file was moved or cannot be read."""
    try:
        return _source(as_preview(answers.reference_image(match)))
    except (OSError, ValueError):
        return ""


def _source(image: Image.Image) -> str:
    return data_uri(image, "JPEG")
