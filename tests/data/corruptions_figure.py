"""Draws every corruption at level 3: docs/pictures/corruptions.jpg.

Run `python -m tests.data.corruptions_figure` in the repository to write the figure.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from torchreid_rgbir.data.corruptions import CORRUPTIONS, corrupt
from torchreid_rgbir.modality import RGB
from torchreid_rgbir.synthetic.render import render_standard
from torchreid_rgbir.synthetic.scenes import Camera

FIGURE = Path(__file__).parents[2] / "docs" / "pictures" / "corruptions.jpg"
COLUMNS, WIDTH, HEIGHT, TEXT = 10, 88, 160, 16


def draw() -> Image.Image:
    person = Image.fromarray(render_standard(0, 3, Camera(1, RGB, place=1, indoor=True), 1, (144, 288)))
    sheet = Image.new("RGB", (COLUMNS * WIDTH, (len(CORRUPTIONS) + COLUMNS - 1) // COLUMNS * (HEIGHT + TEXT)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, name in enumerate(CORRUPTIONS):
        left, top = number % COLUMNS * WIDTH + 4, number // COLUMNS * (HEIGHT + TEXT)
        corrupted = corrupt(person, name, 3, np.random.default_rng(number))
        sheet.paste(corrupted.resize((80, HEIGHT), Image.Resampling.LANCZOS), (left, top + TEXT))
        pen.text((left, top + 3), name.replace("_transform", "").replace("_compression", ""), fill="black")
    return sheet


if __name__ == "__main__":
    draw().save(FIGURE, quality=85)
