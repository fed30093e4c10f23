"""Makes matplotlib figures without a display. They are narrow, so that their text is readable on a phone."""

import numpy as np
from PIL import Image, ImageFont

from torchreid_rgbir.extras import require

require("visual", "matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.font_manager import FontProperties, findfont  # noqa: E402
from matplotlib.text import Text  # noqa: E402

from torchreid_rgbir.visual.fonts import escaped, has_characters, system_font  # noqa: E402

DPI = 200
WIDTH = 1000  # pixels, of every figure: 5 inches, so 10 pt are still 10 pixels on a 360-pixel screen


def new_figure(height: int) -> Figure:
    """Makes an empty figure of WIDTH x `height` pixels."""
    return Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, layout="constrained")


def as_image(figure: Figure) -> Image.Image:
    """Draws a figure. Text in any script gets a system font, or escapes if there is none."""
    for text in figure.findobj(Text):
        shown = text.get_text()
        if shown.isascii() or has_characters(ImageFont.truetype(findfont(text.get_fontproperties())), shown):
            continue
        if path := system_font(shown):
            text.set_fontproperties(FontProperties(fname=path, size=text.get_fontsize()))
        else:
            text.set_text(escaped(shown))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def message_figure(text: str) -> Image.Image:
    """Draws a figure that says why there is nothing to show."""
    figure = new_figure(WIDTH)
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, wrap=True)
    return as_image(figure)
