"""The report of a run: one HTML page that holds its pictures, needs no network and no script, and fits a phone."""

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
THUMB = (96, 192)  # pixels; shown at half of it, sharp on a phone's screen
EXAMPLES = 5  # ranked lists of each kind

# What each picture is called and how it is to be read.
CAPTIONS = {
    "curves": ("Training curves", "Means over an epoch's batches so far. A test result stands at its epoch."),
    "separation": (
        "Distances of pairs",
        "The less the two histograms overlap, the better. The last panel is the task itself: RGB against IR.",
    ),
    "embedding": (
        "Features in the plane",
        "A color is an identity, a shape a modality. Good: colors apart, shapes of one color together.",
    ),
    "stages": (
        "Edges",
        "What the perceptual edge loss compares: the image's edges and Layer0's response, with their distance at each VGG stage.",
    ),
    "activation": (
        "Activation",
        "Where Layer4 responds, red most. Good: on the person or vehicle, at like places in RGB and IR.",
    ),
}


def render(
    results: Mapping,
    lists: Sequence[tuple[str, Sequence[RankedImage]]],
    pictures: Mapping[str, Image.Image],
    title: str,
    checkpoint: str,
    about: Mapping,
) -> str:
    """The page as HTML.

    Args:
        results: what results.json holds.
        lists: the ranked list of every query.
        pictures: by the keys of `CAPTIONS`.
        title: of the page.
        checkpoint: its path.
        about: what the checkpoint says of itself.
    """
    right = [ranked for ranked in lists if ranked[1][0].is_right]
    wrong = [ranked for ranked in lists if not ranked[1][0].is_right]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        results=results,
        columns=COLUMNS,
        rows=[(setting_name(setting), setting) for setting in results["settings"]],
        num_queries=len(lists),
        examples=[
            ("First match right", len(right), [_strip(ranked) for ranked in _some(right)]),
            ("First match wrong", len(wrong), [_strip(ranked) for ranked in _some(wrong)]),
        ],
        pictures=[(*caption, _data_uri(pictures[key], "PNG")) for key, caption in CAPTIONS.items() if key in pictures],
        checkpoint=checkpoint,
        config=about["config"],
        versions=about["versions"],
    )


def _some(lists: Sequence) -> list:
    """Up to `EXAMPLES`, spread evenly."""
    return [lists[i] for i in np.unique(np.linspace(0, len(lists) - 1, EXAMPLES).round().astype(int))] if lists else []


def _strip(ranked: tuple[str, Sequence[RankedImage]]) -> tuple[str, list[tuple[str, RankedImage]]]:
    query, matches = ranked
    return _thumb(query), [(_thumb(match.impath), match) for match in matches]


def _thumb(impath: str) -> str:
    return _data_uri(read_image(impath).resize(THUMB), "JPEG")


def _data_uri(picture: Image.Image, kind: str) -> str:
    data = io.BytesIO()
    picture.save(data, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"
