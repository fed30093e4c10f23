"""Draws the boxes of tracks and a label for each into the frames of a video."""

from collections.abc import Iterator, Sequence

from PIL import Image, ImageColor, ImageDraw

from torchreid_rgbir.data.images import to_upright_rgb
from torchreid_rgbir.data.video import Frames
from torchreid_rgbir.retrieval.boxes import Boxes
from torchreid_rgbir.visual.fonts import find_font

LINE_SHARE, TEXT_SHARE = 1 / 240, 1 / 30  # width of a line and height of the text, as shares of the frame's height


def annotated(frames: Frames, boxes: Boxes, labels: Sequence[tuple[str, str]], ir_range: str) -> Iterator[Image.Image]:
    """Yields every frame of a video as an RGB image, with its boxes.

    Args:
        frames: the video.
        boxes: of the video.
        labels: for each of `boxes.subjects`, the text above its boxes and their color.
        ir_range: which values of frames with more than 8 bits become black and white.
    """
    for number, frame in enumerate(frames, start=1):
        image = to_upright_rgb(frame, ir_range)
        pen = ImageDraw.Draw(image)
        thick, size = max(1, round(image.height * LINE_SHARE)), max(10, round(image.height * TEXT_SHARE))
        shown = boxes.take(boxes.of_frame(number))
        for subject, corners in zip(shown.subjects.tolist(), shown.inside(*image.size).tolist(), strict=True):
            left, top, right, bottom = corners
            if right <= left or bottom <= top:
                continue
            text, color = labels[subject]
            font, text = find_font(text, size)
            pen.rectangle((left, top, right - 1, bottom - 1), outline=color, width=thick)
            place = min(left, max(0, image.width - round(font.getlength(text)) - 2)), max(0, top - size - 4)
            red, green, blue = ImageColor.getrgb(color)[:3]
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 140  # white text is readable on it
            pen.rectangle(pen.textbbox(place, text, font=font), fill=color)
            pen.text(place, text, fill="white" if dark else "black", font=font)
        yield image
