"""Ranked results as a picture: a query and its best gallery images in a row, right ones framed green, wrong ones red."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.files import atomic
from torchreid_rgbir.protocols.ranked_lists import RankedImage

RIGHT, WRONG, QUERY = "#1a9850", "#d73027", "#404040"
FRAME, GAP, LINE = 4, 8, 18  # pixels: frame, space between pictures, height of a line of text


def draw_ranked(
    rows: Sequence[tuple[str, Sequence[RankedImage]]], title: str, size: tuple[int, int] = (64, 128)
) -> Image.Image:
    """Draws ranked lists, one a row.

    Args:
        rows: (path of the query, its matches from the best on); all rows have the same number of matches.
        title: a line above.
        size: width and height of each picture, in pixels.

    Returns:
        An RGB image of (1 + matches) columns and `len(rows)` rows.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("no ranked lists to draw: give at least one query")
    wide, tall = size[0] + 2 * FRAME + GAP, size[1] + 2 * FRAME + LINE + GAP
    columns = 1 + max(len(matches) for _, matches in rows)
    sheet = Image.new("RGB", (columns * wide + 2 * GAP, len(rows) * tall + 2 * LINE + 2 * GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)

    def place(impath: str, row: int, column: int, color: str, text: str) -> None:
        left = GAP + column * wide + (GAP if column else 0)
        top = 2 * LINE + GAP + row * tall
        pen.rectangle((left, top, left + size[0] + 2 * FRAME - 1, top + size[1] + 2 * FRAME - 1), fill=color)
        sheet.paste(read_image(impath).resize(size), (left + FRAME, top + FRAME))
        pen.text((left + FRAME, top + size[1] + 2 * FRAME + 1), text, fill=color, font=font)

    pen.text((GAP, GAP), title, fill="black", font=font)
    pen.text(
        (GAP, GAP + LINE),
        "green: the query's identity   red: another   below: place and distance",
        fill=QUERY,
        font=font,
    )
    for row, (query, matches) in enumerate(rows):
        place(query, row, 0, QUERY, "query")
        for column, match in enumerate(matches, start=1):
            place(match.impath, row, column, RIGHT if match.is_right else WRONG, f"{column}: {match.distance:.2f}")
    return sheet


def save_picture(picture: Image.Image, path: str | Path) -> None:
    """Writes a PNG, making its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(path) as file:
        picture.save(file, "PNG")
