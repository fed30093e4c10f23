"""Compares the rules of `data.ir_range` on synthetic 14-bit images: docs/pictures/ir_range.png and the table in docs/data.md.

Run `python -m tests.data.ir_range_figure` in the repository to write the figure and print the table.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.modality import IR
from torchreid_rgbir.synthetic.render import render_standard
from torchreid_rgbir.synthetic.scenes import Camera

RULES = ("auto", "7000,8600", "dtype")
FIGURE = Path(__file__).parents[2] / "docs" / "pictures" / "ir_range.png"


def thermal_images() -> dict[str, NDArray[np.uint16]]:
    """14-bit images (H, W) of one person: as usual, after the camera has warmed up, and with a hot lamp in view."""
    gray = render_standard(0, 3, Camera(3, IR, place=2, indoor=True), 1, (96, 192))[..., 0].astype(int)
    usual = 7200 + 4 * gray  # a room at 20 degrees fills a small part of the sensor's range of 0 to 16383
    lamp = usual.copy()
    lamp[8:32, 66:90] = 15_500  # 3 % of the pixels
    return {name: image.astype(np.uint16) for name, image in (("usual", usual), ("warm", usual + 300), ("lamp", lamp))}


def compare(folder: Path) -> dict[str, dict[str, NDArray[np.uint8]]]:
    """Rule -> name of the image -> the gray values that it is read as, (H, W)."""
    for name, image in thermal_images().items():
        Image.fromarray(image).save(folder / f"{name}.png")
    return {
        rule: {name: np.asarray(read_image(str(folder / f"{name}.png"), rule))[..., 0] for name in thermal_images()}
        for rule in RULES
    }


def table(found: dict[str, dict[str, NDArray[np.uint8]]]) -> list[str]:
    """Rows of Markdown: gray values that the person and the room have left, and the change of their mean by each effect."""
    rows = []
    for rule, images in found.items():
        rest = thermal_images()["lamp"] < 15_000  # without the lamp's pixels
        levels = " | ".join(str(len(np.unique(image[rest]))) for image in images.values())
        means = [image[rest].mean() for image in images.values()]
        rows.append(f"| `{rule}` | {levels} | {means[1] - means[0]:+.0f} | {means[2] - means[0]:+.0f} |")
    return rows


def draw(found: dict[str, dict[str, NDArray[np.uint8]]]) -> Image.Image:
    """One row per rule, one column per image."""
    height, width = next(iter(thermal_images().values())).shape
    sheet = Image.new("RGB", (90 + 3 * (width + 8), 24 + 3 * (height + 8)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (rule, images) in enumerate(found.items()):
        pen.text((6, 24 + row * (height + 8) + height // 2), rule, fill="black")
        for column, (name, image) in enumerate(images.items()):
            left = 90 + column * (width + 8)
            pen.text((left, 6), {"usual": "usual", "warm": "warm camera", "lamp": "hot lamp"}[name], fill="black")
            sheet.paste(Image.fromarray(image), (left, 24 + row * (height + 8)))
    return sheet


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        results = compare(Path(temporary))
    draw(results).save(FIGURE, optimize=True)
    sys.stdout.write("\n".join(table(results)) + "\n")
