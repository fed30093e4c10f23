"""Reads image files. Training, cache, extraction, galleries, reports and all checks read images here.

A wide file holds the spectra of one moment side by side (RGBNT100, RGBN300). Each of them is an image with a path of its
own: `FILE#1of3`, `FILE#2of3` and so on, from left to right. Everything that reads an image by its path reads that part.
No image file is named like this, because names of images end with .jpg or the like.
"""

import contextlib
import io
import os
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from torchreid_rgbir.data.image_files import IMAGE_SUFFIXES, find_files, find_images, is_image_name, list_images

__all__ = [
    "IMAGE_SUFFIXES",
    "decode_image",
    "file_of",
    "find_files",
    "find_images",
    "is_image_name",
    "list_images",
    "parse_ir_range",
    "part_path",
    "read_image",
    "read_unscaled",
]

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM")  # by content; some of Pillow's others start programs
MAX_PIXELS = 2**26  # far more than a crop of a person has; a small damaged file may claim to have more
ADVICE = "replace the file, or set data.skip_broken True to train without it"
UPLOAD_ADVICE = "choose a JPEG, PNG, WebP or TIFF image"
PERCENTILES = (1, 99)  # of the rule `auto`
PART = re.compile(r"(.+)#([1-9])of([1-9])")
PART_ASPECT = 2  # a part is twice as wide as high: 256 x 128 pixels in RGBNT100 and RGBN300
TURNS = {  # EXIF orientation -> what makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# `read_image` refuses huge images itself, with the name of the file, and reads images with damaged EXIF data as upright.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", "(Possibly corrupt|Corrupt) EXIF data", UserWarning)


class IRRange(NamedTuple):
    """The gray values of a file with more than 8 bits that become black and white; `data.ir_range` as text."""

    kind: str  # auto, dtype or fixed
    low: float = 0.0
    high: float = 0.0

    def __str__(self) -> str:
        limits = ",".join(repr(v).removesuffix(".0") for v in (self.low, self.high))
        return limits if self.kind == "fixed" else self.kind


@lru_cache
def parse_ir_range(text: str) -> IRRange:
    """Reads `data.ir_range`.

    Args:
        text: `auto`: the 1st to 99th percentile of each image. `LOW,HIGH`: these values, in the units of the file.
            `dtype`: 0 to 65535 for whole numbers and 0 to 255 for floating-point numbers.

    Raises:
        ValueError: the text is none of them.
    """
    if text in ("auto", "dtype"):
        return IRRange(text)
    with contextlib.suppress(ValueError):
        low, high = (float(number) for number in text.split(","))
        if np.isfinite([low, high]).all() and low < high:
            return IRRange("fixed", low, high)
    raise ValueError(f"data.ir_range is {text!r}: set it to auto, dtype, or LOW,HIGH with LOW below HIGH (7000,9000)")


def read_image(path: str, ir_range: str = "auto") -> Image.Image:
    """Reads an image as upright 8-bit RGB.

    The orientation in its EXIF data is applied. Gray is repeated to three channels, transparency is dropped, and gray
    images of more than 8 bits are scaled to 8 by `ir_range`. 8-bit images are never changed.

    Args:
        path: of the file, or of a part of a wide file. The file's content decides on the format, not its name.
        ir_range: as `parse_ir_range` takes it.

    Raises:
        ValueError: the file is not an image that can be read.
        FileNotFoundError: there is no such file.
    """
    return read_with_bits(path, ir_range)[0]


def read_with_bits(path: str, ir_range: str = "auto") -> tuple[Image.Image, int]:
    """As `read_image`, and the number of bits per channel that the file has: 8, 16 or 32."""
    with _opened(path) as image:
        return to_upright_rgb(image, ir_range, path), _bits(image)


def read_unscaled(path: str) -> Image.Image:
    """As `read_image`, but a gray image of more than 8 bits keeps its values, so that its crops can be scaled one by one."""
    with _opened(path) as image:
        if not image.mode.startswith(("I", "F")):
            return to_upright_rgb(image)
        values, turn = Image.fromarray(gray_values(image)), TURNS.get(_orientation(image))
        return values if turn is None else values.transpose(turn)


def decode_image(data: bytes, ir_range: str = "auto") -> Image.Image:
    """As `read_image`, for the contents of a file, such as an upload. Raises ValueError if they are not an image."""
    with _opened(io.BytesIO(data)) as image:
        return to_upright_rgb(image, ir_range)


@contextlib.contextmanager
def _opened(path: str | io.BytesIO) -> Iterator[Image.Image]:
    name, advice = (path, ADVICE) if isinstance(path, str) else ("the file", UPLOAD_ADVICE)
    file = file_of(path) if isinstance(path, str) else path
    try:
        if isinstance(file, str) and not stat.S_ISREG(os.stat(file).st_mode):  # a pipe would wait for its writer
            raise ValueError("it is not a regular file")
        with Image.open(file, formats=FORMATS) as image:
            _check(image)
            yield image
    except FileNotFoundError:
        raise FileNotFoundError(f"{name} is missing: it was there when the data set was listed") from None
    except Exception as error:  # a damaged file makes Pillow's readers fail in many ways
        raise ValueError(f"{name} cannot be read ({_reason(file, error)}): {advice}") from None


def to_upright_rgb(image: Image.Image, ir_range: str = "auto", path: str = "") -> Image.Image:
    """An open image as `read_image` returns it. The path of a part of a wide file selects the part."""
    rgb = _cropped(to_8_bits(image, ir_range).convert("RGB"), path)
    turn = TURNS.get(_orientation(image))
    upright = rgb if turn is None else rgb.transpose(turn)
    upright.info = {}  # a copy of its EXIF data would turn the result, or a crop of it, again
    return upright


def part_path(file: str, number: int, count: int) -> str:
    """The path of part `number` (from 1) of a wide file with `count` parts.

    Examples:
        >>> part_path("0502_c0001_000.jpg", 2, 3)
        '0502_c0001_000.jpg#2of3'
    """
    return f"{file}#{number}of{count}"


def file_of(path: str) -> str:
    """The file that contains an image: its path, or the path without the number of the part."""
    found = PART.fullmatch(path)
    return found[1] if found else path


def _cropped(image: Image.Image, path: str) -> Image.Image:
    found = PART.fullmatch(path)
    if not found:
        return image
    number, count, width = int(found[2]), int(found[3]), PART_ASPECT * image.height
    if number > count or image.width != count * width:
        raise ValueError(
            f"it is {image.width} x {image.height} pixels, which are not {count} parts side by side, "
            f"each {PART_ASPECT} times as wide as high"
        )
    return image.crop(((number - 1) * width, 0, number * width, image.height))


def _check(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it has {image.width} x {image.height} pixels, more than the {MAX_PIXELS} that are read")
    if image.format == "JPEG":
        return
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"it has {getattr(image, 'n_frames', 1)} pages: save each page as a file")
    # Pillow itself drops the lower half of such values.
    if len(image.getbands()) > 1 and re.search(r";16[BLN]|'?ppm'?, .*65535", str(getattr(image, "tile", ""))):
        raise ValueError("it has several channels of 16 bits: save it with 8 bits, or with one channel")


def _reason(source: str | io.BytesIO, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        with open(source, "rb") if isinstance(source, str) else io.BytesIO(source.getvalue()) as file:
            beginning = file.read(4)
        if beginning in (b"II*\0", b"MM\0*"):
            return (
                "it is a damaged TIFF file or of a kind that is not read, such as 64-bit numbers: save it as 16-bit PNG"
            )
        return "it is not an image" if beginning else "it has 0 bytes"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than the {MAX_PIXELS} pixels that are read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _bits(image: Image.Image) -> int:
    if not image.mode.startswith(("I", "F")):
        return 8
    # Pillow's mode I is 32 bits wide, also for some files of 16 bits; 258 is TIFF's BitsPerSample.
    stored = getattr(image, "tag_v2", {}).get(258, (16 if image.format in ("PNG", "PPM") else 32,))[0]
    return 16 if image.mode.startswith("I;16") else stored


def _orientation(image: Image.Image) -> int:
    # After the pixels are read: a PNG file may have it behind them. Some programs write damaged EXIF data.
    if image.format == "JPEG" and not {"exif", "xmp"} & image.info.keys():
        return 1
    try:
        return image.getexif().get(0x0112, 1)
    except (SyntaxError, struct.error, KeyError, TypeError, ValueError, OSError):
        return 1


def to_8_bits(image: Image.Image, ir_range: str = "auto") -> Image.Image:
    """The same image with 8 bits per channel and without a palette; `ir_range` decides on gray images of more bits.

    Raises:
        ValueError: the image has values that are not finite.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_scaled(gray_values(image), parse_ir_range(ir_range)))
    return image.convert("RGBA") if image.mode in ("P", "PA") else image  # a palette may have transparent colors


def gray_values(image: Image.Image) -> NDArray:
    """The values of a gray image of more than 8 bits as the file has them, (H, W)."""
    values = np.asarray(image)
    # Pillow keeps 32 bits as signed numbers whatever the file (339: SampleFormat, 1: unsigned) says.
    is_unsigned = image.mode == "I" and getattr(image, "tag_v2", {}).get(339, 1) in (1, (1,))
    return values.view(np.uint32) if is_unsigned and values.dtype == np.int32 and image.format == "TIFF" else values


def _scaled(values: NDArray, limits: IRRange) -> NDArray[np.uint8]:
    if not np.isfinite(values).all():
        raise ValueError("it has values that are not finite (NaN or infinite)")
    if limits.kind == "dtype":
        whole = values.dtype.kind != "f"
        return (values.clip(0, 65535) // 257 if whole else values.clip(0, 255)).astype(np.uint8)
    low, high = np.percentile(values, PERCENTILES) if limits.kind == "auto" else (limits.low, limits.high)
    if low == high:  # an image of one value becomes black, and what is above that value white
        return np.where(values > low, 255, 0).astype(np.uint8)
    return np.rint(((values.astype(np.float64) - low) * (255 / (high - low))).clip(0, 255)).astype(np.uint8)
