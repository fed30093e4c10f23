"""Draws ranked results, a row per image: a test's query and its best gallery images, the answer of `identify`, or pairs of tracks."""

from collections.abc import Sequence

from PIL import Image

from torchreid_rgbir.protocols.ranked_lists import RankedImage
from torchreid_rgbir.retrieval.identify import Answer
from torchreid_rgbir.retrieval.tracks import Track
from torchreid_rgbir.visual.fonts import find_font, shortened
from torchreid_rgbir.visual.grid import QUERY, TEXT, Cell, draw_grid, save_picture

__all__ = ["draw_identify_grid", "draw_pairs", "draw_ranked", "save_picture"]
CORRECT, INCORRECT = "#1a9850", "#d73027"
IDENTIFIED, UNKNOWN = "#2b6cb0", "#b0b0b0"
LEGEND = "green: the query's identity   red: a different one   below: rank and distance"
MAX_ROWS, MAX_COLUMNS = 50, 10  # of `draw_identify_grid`
MAX_CHARACTERS = 16


def draw_ranked(
    rows: Sequence[tuple[str, Sequence[RankedImage]]], title: str, size: tuple[int, int] = (64, 128)
) -> Image.Image:
    """Draws ranked lists, one per row. Correct matches have a green frame, others a red one.

    Args:
        rows: the path of each query and its matches, best first.
        title: a line of text above the lists.
        size: width and height of each image, in pixels.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("there are no ranked lists to draw: give at least one query")
    grid = []
    for query, matches in rows:
        cells = [Cell(query, QUERY, ["query"])]
        for rank, match in enumerate(matches, start=1):
            color = CORRECT if match.is_correct else INCORRECT
            cells.append(Cell(match.impath, color, [f"{rank}: {match.distance:.2f}"], color))
        grid.append(cells)
    return draw_grid(grid, size, (title, LEGEND))


def draw_identify_grid(rows: Sequence[tuple[str | Image.Image, Answer]]) -> Image.Image:
    """Draws one image per row. Below each reference are its category and score. Those of unknown images have a gray frame.

    Args:
        rows: each image, or the path of its file, and its answer.

    Returns:
        An RGB image of at most 50 rows and 1 + 10 columns.

    Raises:
        ValueError, FileNotFoundError: an image or a reference is missing or cannot be read.
    """
    grid = []
    for path, answer in rows[:MAX_ROWS]:
        color = UNKNOWN if answer.unknown else IDENTIFIED
        cells = [Cell(path, QUERY, ["unknown" if answer.unknown else _label(answer.matches[0].category)])]
        for match in answer.matches[:MAX_COLUMNS]:
            cells.append(Cell(match.path, color, [_label(match.category), f"{match.score:.3f}"]))
        grid.append(cells)
    return draw_grid(grid, (96, 192))


def draw_pairs(pairs: Sequence[tuple[Track, Track, float]]) -> Image.Image:
    """Draws one pair of tracks per row, the examples of camera A before those of camera B.

    Args:
        pairs: the tracks of both cameras, each with at least one example, and the score of the pair.

    Returns:
        An RGB image of at most 50 rows.

    Raises:
        ValueError: there are no pairs.
    """
    if not pairs:
        raise ValueError("no track has a partner, so there is nothing to draw: lower the threshold")
    grid = []
    for a, b, score in pairs[:MAX_ROWS]:
        row = []
        for side, track, color in (("A", a, QUERY), ("B", b, IDENTIFIED)):
            row += [Cell(image, color, [f"{side}: track {track.number}", f"{score:.3f}"]) for image in track.examples]
        grid.append(row)
    return draw_grid(grid, (96, 192))


def _label(category: str) -> str:
    _, shown = find_font(category, TEXT)  # an escaped name is longer
    return category if len(shown) <= MAX_CHARACTERS else shortened(shown, MAX_CHARACTERS)
