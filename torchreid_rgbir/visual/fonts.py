"""Finds fonts for names in any script, so that different names look different in figures."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

NOT_A_CHARACTER = "\uffff"  # every font draws it as a missing character


@lru_cache
def find_font(text: str, size: int) -> tuple[FreeTypeFont | ImageFont.ImageFont, str]:
    """Returns a font that has all characters of a text, and the text.

    Pillow's own font is preferred, then the system's fonts, found by fontconfig or matplotlib. If none of them has all
    characters, the others become escapes such as \\u5f20.
    """
    default = ImageFont.load_default(size)
    if has_characters(default, text):
        return default, text
    path = system_font(text)
    return (ImageFont.truetype(path, size), text) if path else (default, escaped(text))


def escaped(text: str) -> str:
    """Replaces every character that is not ASCII by an escape."""
    return text.encode("ascii", "backslashreplace").decode()


def shortened(text: str, num: int) -> str:
    """Shortens a text to `num` characters. Different texts stay different, because a checksum replaces the rest."""
    if len(text) <= num:
        return text
    checksum = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:4]
    return f"{text[: num - 5]}~{checksum}"


def system_font(text: str) -> str | None:
    """Returns the file of a system font that has all characters of a text, or None."""
    for path in _system_fonts(text):
        try:
            if has_characters(ImageFont.truetype(path, 12), text):
                return path
        except OSError:  # a format that FreeType does not read
            continue
    return None


def has_characters(font: FreeTypeFont | ImageFont.ImageFont, text: str) -> bool:
    """Whether a font has all characters of a text."""
    try:
        text.encode()
    except UnicodeEncodeError:  # halves of characters, from a name that is not UTF-8
        return False

    def bitmap(character: str) -> tuple[tuple[int, int], bytes]:
        mask = font.getmask(character)
        return mask.size, bytes(mask)

    missing = bitmap(NOT_A_CHARACTER)
    return all(letter.isascii() or letter.isspace() or bitmap(letter) != missing for letter in set(text))


def _system_fonts(text: str) -> Iterator[str]:
    """Yields the files of fonts that may have the characters of a text."""
    characters = sorted({f"{ord(character):x}" for character in text if not character.isascii()})
    if shutil.which("fc-match"):
        words = ["fc-match", "--format=%{file}", f"sans-serif:charset={' '.join(characters)}"]
        yield subprocess.run(words, capture_output=True, text=True, check=False).stdout
        return
    try:
        from matplotlib import font_manager
    except ImportError:  # an extra
        return
    yield from sorted(font_manager.findSystemFonts())
