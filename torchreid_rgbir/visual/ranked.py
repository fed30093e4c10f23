"""Draws ranked results: a query and its best gallery images in a row, correct matches framed in green, others in red."""

from collections.abc import Sequence

from PIL import Image

from torchreid_rgbir.protocols.ranked_lists import RankedImage
from torchreid_rgbir.visual.grid import QUERY, Cell, draw_grid, save_picture

__all__ = ["draw_ranked", "save_picture"]
CORRECT, INCORRECT = "#1a9850", "#d73027"
LEGEND = "green: the query's identity   red: a different one   below: rank and distance"


def draw_ranked(
    rows: Sequence[tuple[str, Sequence[RankedImage]]], title: str, size: tuple[int, int] = (64, 128)
) -> Image.Image:
    """Draws ranked lists, one per row.

    Args:
        rows: the path of each query and its matches, best first.
        title: a line of text above the lists.
        size: width and height of each image, in pixels.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("there are no ranked lists to draw: give at least one query")
    return draw_grid([_cells(query, matches) for query, matches in rows], size, (title, LEGEND))


def _cells(query: str, matches: Sequence[RankedImage]) -> list[Cell]:
    cells = [Cell(query, QUERY, ["query"])]
    for rank, match in enumerate(matches, start=1):
        color = CORRECT if match.is_correct else INCORRECT
        cells.append(Cell(match.impath, color, [f"{rank}: {match.distance:.2f}"], color))
    return cells
