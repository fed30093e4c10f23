"""Answers of `identify` as a picture: each image beside the best reference of its ranked categories."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.retrieval.identify import Answer
from torchreid_rgbir.visual.ranked import FRAME, GAP, LINE, QUERY

NAMED, UNKNOWN = "#2b6cb0", "#b0b0b0"
MAX_ROWS, MAX_COLUMNS = 50, 10
WIDTH = 96  # pixels of a picture; its height is twice that


def draw_identify_grid(rows: Sequence[tuple[str, Answer]]) -> Image.Image:
    """Draws an image a row, the first 50, its category and score below each reference; gray where the image is unknown.

    Args:
        rows: (path of the image, its answer).

    Returns:
        An RGB image of at most 50 rows and 1 + 10 columns.

    Raises:
        ValueError, FileNotFoundError: an image or a reference that cannot be read.
    """
    rows = rows[:MAX_ROWS]
    wide, tall = WIDTH + 2 * FRAME + GAP, 2 * WIDTH + 2 * FRAME + 2 * LINE + GAP
    columns = 1 + min(MAX_COLUMNS, max(len(answer.matches) for _, answer in rows))
    sheet = Image.new("RGB", (columns * wide + 2 * GAP, len(rows) * tall + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)

    def place(path: str, row: int, column: int, color: str, lines: Sequence[str]) -> None:
        left, top = GAP + column * wide + (GAP if column else 0), GAP + row * tall
        pen.rectangle((left, top, left + WIDTH + 2 * FRAME - 1, top + 2 * WIDTH + 2 * FRAME - 1), fill=color)
        sheet.paste(read_image(path).resize((WIDTH, 2 * WIDTH)), (left + FRAME, top + FRAME))
        for i, line in enumerate(lines):
            pen.text((left + FRAME, top + 2 * WIDTH + 2 * FRAME + i * LINE), line[:16], fill=QUERY, font=font)

    for row, (path, answer) in enumerate(rows):
        place(path, row, 0, QUERY, ["unknown" if answer.unknown else answer.matches[0].category])
        for column, match in enumerate(answer.matches[:MAX_COLUMNS], start=1):
            color = UNKNOWN if answer.unknown else NAMED
            place(match.path, row, column, color, [match.category, f"{match.score:.3f}"])
    return sheet
