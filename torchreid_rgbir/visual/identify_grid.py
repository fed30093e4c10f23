"""Draws the results of `identify`: each image beside the best reference of its ranked categories."""

from collections.abc import Sequence

from PIL import Image

from torchreid_rgbir.retrieval.identify import Answer
from torchreid_rgbir.visual.fonts import find_font, shortened
from torchreid_rgbir.visual.grid import QUERY, TEXT, Cell, draw_grid

IDENTIFIED, UNKNOWN = "#2b6cb0", "#b0b0b0"
MAX_ROWS, MAX_COLUMNS = 50, 10
SIZE = (96, 192)  # pixels
MAX_CHARACTERS = 16


def draw_identify_grid(rows: Sequence[tuple[str, Answer]]) -> Image.Image:
    """Draws one image per row, for the first 50 images. Below each reference are its category and score.

    The references of an unknown image have a gray frame.

    Args:
        rows: the path of each image and its answer.

    Returns:
        An RGB image of at most 50 rows and 1 + 10 columns.

    Raises:
        ValueError, FileNotFoundError: an image or a reference is missing or cannot be read.
    """
    return draw_grid([_cells(path, answer) for path, answer in rows[:MAX_ROWS]], SIZE)


def _cells(path: str, answer: Answer) -> list[Cell]:
    best = "unknown" if answer.unknown else _label(answer.matches[0].category)
    color = UNKNOWN if answer.unknown else IDENTIFIED
    return [
        Cell(path, QUERY, [best]),
        *(
            Cell(match.path, color, [_label(match.category), f"{match.score:.3f}"])
            for match in answer.matches[:MAX_COLUMNS]
        ),
    ]


def _label(category: str) -> str:
    _, shown = find_font(category, TEXT)  # an escaped name is longer
    return category if len(shown) <= MAX_CHARACTERS else shortened(shown, MAX_CHARACTERS)
