"""Draws a comparison of methods: each method's mAP as a bar, with its standard deviation over the seeds.

It uses Pillow, because `compare` runs without the extra `visual` that brings matplotlib.
"""

from pathlib import Path

from PIL import Image, ImageDraw

from torchreid_rgbir.visual.fonts import find_font
from torchreid_rgbir.visual.grid import draw_text, save_picture

ROW, BAR, MARGIN, TEXT = 44, 640, 24, 18  # pixels
BLUE, GREY, BLACK, WHITE = "#3b6fb6", "#d8d8d8", "#222222", "#ffffff"


def draw_comparison(found: dict, path: str | Path) -> Path:
    """Draws the contents of compare.json, best mAP first, and returns the path of the PNG file that it writes.

    At least one method must have finished.
    """
    rows = sorted((row for row in found["methods"] if "mean" in row), key=lambda row: -row["mean"]["mAP"])
    bars = MARGIN + 10 + max(_width(row["method"]) for row in rows)  # where they begin: right of the longest name
    picture = Image.new("RGB", (bars + BAR + 5 * MARGIN, (len(rows) + 2) * ROW), WHITE)
    pen = ImageDraw.Draw(picture)
    draw_text(pen, (MARGIN, MARGIN / 2), f"mAP in %, {found['dataset']}: {found['setting']}", BLACK, TEXT)
    bottom = ROW * (len(rows) + 1)
    for percent in range(0, 101, 20):
        x = bars + BAR * percent / 100
        pen.line((x, ROW, x, bottom), GREY)
        draw_text(pen, (x, bottom + 4), str(percent), BLACK, TEXT, "ma")
    for number, row in enumerate(rows, start=1):
        mean, std = row["mean"]["mAP"], row["std"]["mAP"]
        middle = ROW * number + ROW / 2
        draw_text(pen, (bars - 10, middle), row["method"], BLACK, TEXT, "rm")
        pen.rectangle((bars, middle - 12, bars + BAR * mean, middle + 12), BLUE)
        low, high = bars + BAR * max(mean - std, 0), bars + BAR * min(mean + std, 1)
        pen.line((low, middle, high, middle), BLACK, 2)
        draw_text(pen, (high + 8, middle), f"{100 * mean:.1f}", BLACK, TEXT, "lm")
    save_picture(picture, path)
    return Path(path)


def _width(name: str) -> int:
    font, shown = find_font(name, TEXT)
    return int(font.getlength(shown))
