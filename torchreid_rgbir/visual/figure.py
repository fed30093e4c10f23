"""Makes matplotlib figures without a display. They are narrow, so that their text is readable on a phone."""

import numpy as np
from PIL import Image

from torchreid_rgbir.extras import require

require("visual", "matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

DPI = 200
WIDTH = 1000  # pixels, of every figure: 5 inches, so 10 pt are still 10 pixels on a 360-pixel screen


def new_figure(height: int) -> Figure:
    """Makes an empty figure of WIDTH x `height` pixels."""
    return Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, layout="constrained")


def as_image(figure: Figure) -> Image.Image:
    """Draws a figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
