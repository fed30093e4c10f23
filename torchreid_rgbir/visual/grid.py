"""Draws images in a grid, with a colored frame and lines of text for each, and saves figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.files import atomic
from torchreid_rgbir.visual.fonts import find_font

QUERY = "#404040"  # frame of a query and color of its text
FRAME, GAP, LINE, TEXT = 4, 8, 18, 12  # pixels: frame, space between images, height of a line and of its text


class Cell(NamedTuple):
    """An image in a grid."""

    image: str | Image.Image  # or the path of its file
    color: str  # of the frame
    lines: Sequence[str]  # of text below the image
    text_color: str = QUERY


def draw_grid(rows: Sequence[Sequence[Cell]], size: tuple[int, int], titles: Sequence[str] = ()) -> Image.Image:
    """Draws rows of images. The first image of each row, the query, is set apart.

    Args:
        rows: the cells of at least one row.
        size: width and height of each image, in pixels.
        titles: up to two lines of text above the grid.

    Raises:
        ValueError, FileNotFoundError: an image is missing or cannot be read.
    """
    num_lines = max(len(cell.lines) for cells in rows for cell in cells)
    wide, tall = size[0] + 2 * FRAME + GAP, size[1] + 2 * FRAME + num_lines * LINE + GAP
    header = len(titles) * LINE + GAP
    sheet = Image.new("RGB", (max(map(len, rows)) * wide + 2 * GAP, len(rows) * tall + header + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (title, color) in enumerate(zip(titles, ("black", QUERY), strict=False)):
        draw_text(pen, (GAP, GAP + i * LINE), title, color)
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            left, top = GAP * (2 if column else 1) + column * wide, header + row * tall
            bottom = top + size[1] + 2 * FRAME
            pen.rectangle((left, top, left + size[0] + 2 * FRAME - 1, bottom - 1), fill=cell.color)
            image = read_image(cell.image) if isinstance(cell.image, str) else cell.image
            sheet.paste(image.resize(size), (left + FRAME, top + FRAME))
            for i, line in enumerate(cell.lines):
                draw_text(pen, (left + FRAME, bottom + 1 + i * LINE), line, cell.text_color)
    return sheet


def draw_text(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, color: str, size: int = TEXT, anchor: str = "la"
) -> None:
    """Draws a line of text in a font that has its characters."""
    font, shown = find_font(text, size)
    pen.text(place, shown, fill=color, font=font, anchor=anchor)


def save_picture(image: Image.Image, path: str | Path) -> None:
    """Writes a PNG file and makes its folder."""
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(path) as file:
        image.save(file, "PNG")
