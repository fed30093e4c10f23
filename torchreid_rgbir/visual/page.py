"""Renders the report of a run: one HTML page with all figures that needs no network and no script and fits a phone."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.extras import require
from torchreid_rgbir.metrics.report import COLUMNS, setting_name
from torchreid_rgbir.protocols.ranked_lists import RankedImage

require("visual", "jinja2")
from jinja2 import Environment, StrictUndefined  # noqa: E402

TEMPLATE = Path(__file__).with_name("page.html")
THUMB = (96, 192)  # pixels, twice the size on the page, so that images are sharp on a phone
EXAMPLES = 5  # ranked lists of each kind

# Title and explanation of each figure.
CAPTIONS = {
    "curves": (
        "Training curves",
        "Each point is the mean over the batches of the epoch so far. A test result is shown at its epoch.",
    ),
    "separation": (
        "Distances of pairs",
        "The less the two histograms overlap, the better. The last panel shows the task itself: RGB against IR.",
    ),
    "embedding": (
        "Features in the plane",
        "A color is an identity, a shape is a modality. In a good model colors are apart and the shapes of a color together.",
    ),
    "stages": (
        "Edges",
        "The perceptual edge loss compares the image's edges with Layer0's response. The bars are their distances at each VGG stage.",
    ),
    "activation": (
        "Activation",
        "Layer4 responds most where the map is red. In a good model that is on the person or vehicle, at the same places in RGB and IR.",
    ),
}


def render(
    results: Mapping,
    lists: Sequence[tuple[str, Sequence[RankedImage]]],
    figures: Mapping[str, Image.Image],
    title: str,
    checkpoint: str,
    about: Mapping,
) -> str:
    """Renders the page as HTML.

    Args:
        results: the contents of results.json.
        lists: the ranked list of every query. No list is empty.
        figures: the figures, by the keys of `CAPTIONS`.
        title: title of the page.
        checkpoint: path of the checkpoint.
        about: the metadata of the checkpoint.
    """
    correct = [ranked for ranked in lists if ranked[1][0].is_correct]
    incorrect = [ranked for ranked in lists if not ranked[1][0].is_correct]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        results=results,
        columns=COLUMNS,
        rows=[(setting_name(setting), setting) for setting in results["settings"]],
        num_queries=len(lists),
        examples=[
            ("First match correct", len(correct), [_strip(ranked) for ranked in _some(correct)]),
            ("First match incorrect", len(incorrect), [_strip(ranked) for ranked in _some(incorrect)]),
        ],
        figures=[(*caption, _data_uri(figures[key], "PNG")) for key, caption in CAPTIONS.items() if key in figures],
        checkpoint=checkpoint,
        config=about["config"],
        versions=about["versions"],
    )


def _some(lists: Sequence) -> list:
    """Selects up to `EXAMPLES` lists, spread evenly."""
    return [lists[i] for i in np.unique(np.linspace(0, len(lists) - 1, EXAMPLES).round().astype(int))] if lists else []


def _strip(ranked: tuple[str, Sequence[RankedImage]]) -> tuple[str, list[tuple[str, RankedImage]]]:
    query, matches = ranked
    return _thumb(query), [(_thumb(match.impath), match) for match in matches]


def _thumb(impath: str) -> str:
    return _data_uri(read_image(impath).resize(THUMB), "JPEG")


def _data_uri(image: Image.Image, kind: str) -> str:
    data = io.BytesIO()
    image.save(data, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"
