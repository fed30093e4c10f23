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
        figures: curves, separation, embedding, stages and activation, as far as there are figures.
        title: of the page.
        checkpoint: its path.
        about: its metadata.
    """
    correct, incorrect = ([ranked for ranked in lists if ranked[1][0].is_correct == wanted] for wanted in (True, False))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        results=results,
        columns=COLUMNS,
        rows=[(setting_name(setting), setting) for setting in results["settings"]],
        num_queries=len(lists),
        examples=[
            (f"First match {name}", len(found), [_strip(ranked) for ranked in _some(found)])
            for name, found in (("correct", correct), ("incorrect", incorrect))
        ],
        figures={key: data_uri(figure, "PNG") for key, figure in figures.items()},
        checkpoint=checkpoint,
        about=about,
    )


def _some(lists: Sequence) -> list:
    """Selects up to `EXAMPLES` lists, spread evenly."""
    return [lists[i] for i in np.unique(np.linspace(0, len(lists) - 1, EXAMPLES).round().astype(int))] if lists else []


def _strip(ranked: tuple[str, Sequence[RankedImage]]) -> tuple[str, list[tuple[str, RankedImage]]]:
    query, matches = ranked
    return _thumb(query), [(_thumb(match.impath), match) for match in matches]


def _thumb(impath: str) -> str:
    return data_uri(read_image(impath).resize(THUMB), "JPEG")


def data_uri(image: Image.Image, kind: str) -> str:
    """Writes an image into a text that a page can hold in place of an address. `kind` is PNG or JPEG."""
    data = io.BytesIO()
    image.save(data, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"
