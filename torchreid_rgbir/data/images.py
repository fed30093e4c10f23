"""Image files: which names are images, and how one is read."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM")  # whatever the suffix; some others start programs
MAX_PIXELS = 2**26  # no crop of a person is as large; a small file may claim to be
MEND = "replace it or leave it out (a training does with data.skip_broken True)"


def read_image(path: str) -> Image.Image:
    """Reads an image as 8-bit RGB, whatever it is stored as: gray is repeated to three channels, 16 bits are scaled to 8, alpha is dropped.

    Raises:
        ValueError: the file is no readable image (torchreid's own reader tries it for ever).
        FileNotFoundError: there is no such file.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it claims to have {image.width} x {image.height} pixels")
            return to_8_bits(image).convert("RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: it was there when the data set was listed") from None
    except Exception as error:  # a damaged file trips Pillow's readers in as many ways as they have lines
        raise ValueError(f"{path} cannot be read ({_reason(path, error)}): {MEND}") from None


def _reason(path: str, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it has 0 bytes" if os.path.getsize(path) == 0 else "it is not an image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def to_8_bits(image: Image.Image) -> Image.Image:
    """The same picture with 8 bits a channel, without a palette."""
    # Pillow's own conversion clips a 16-bit picture, as thermal cameras write them, to white.
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.mode in ("P", "PA"):
        return image.convert("RGBA")  # a palette may have transparent colors
    return image


def list_images(folder: Path) -> list[str]:
    """The image files of a folder, sorted by name, hidden ones left out; an empty list where there is no such folder."""
    if not folder.is_dir():
        return []
    # A link to nothing is listed, so that reading it says so; a folder or a pipe, which would be waited for, is not.
    return sorted(
        entry.path
        for entry in os.scandir(folder)
        if is_image_name(entry.name) and (entry.is_file() or not os.path.exists(entry.path))
    )


def is_image_name(name: str) -> bool:
    """Whether a file is called like an image. A Mac leaves files such as ._0001.jpg, which are none and would shift every image's number."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
