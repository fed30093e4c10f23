"""Listing and reading image files."""

import os
import shutil
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchreid_rgbir.data.images import list_images, read_image

MODES = {
    "gray.png": ("L", 77, (77, 77, 77)),
    "bits.png": ("1", 1, (255, 255, 255)),
    "gray_alpha.png": ("LA", (77, 3), (77, 77, 77)),
    "alpha.png": ("RGBA", (10, 20, 30, 0), (10, 20, 30)),
    "rgb.png": ("RGB", (10, 20, 30), (10, 20, 30)),
    "rgb.bmp": ("RGB", (10, 20, 30), (10, 20, 30)),
    "cmyk.jpg": ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
    "gray.jpg": ("L", 77, (77, 77, 77)),
}


@pytest.mark.parametrize("name", MODES)
def test_every_kind_of_image_becomes_rgb(tmp_path, name):
    mode, color, expected = MODES[name]
    Image.new(mode, (5, 7), color).save(tmp_path / name)
    assert Image.open(tmp_path / name).mode == mode
    image = read_image(str(tmp_path / name))
    assert image.mode == "RGB" and image.size == (5, 7)
    np.testing.assert_allclose(image.getpixel((2, 3)), expected, atol=1)


def test_a_palette_image_becomes_rgb(tmp_path):
    image = Image.new("P", (5, 7), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png", transparency=0)
    assert read_image(str(tmp_path / "a.png")).getpixel((0, 0)) == (10, 20, 30)


def test_a_16_bit_image_keeps_its_contrast(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "thermal.png")
    assert Image.open(tmp_path / "thermal.png").mode.startswith("I")
    pixels = np.asarray(read_image(str(tmp_path / "thermal.png"), "dtype"))
    np.testing.assert_allclose(pixels[:, :, 0], ramp / 257, atol=1)
    assert (pixels == pixels[:, :, :1]).all()


def test_unreadable_images(tmp_path, fails):
    path = tmp_path / "a.jpg"
    with fails(FileNotFoundError, path, "missing"):
        read_image(str(path))
    path.write_bytes(b"")
    with fails(ValueError, path, "0 bytes"):
        read_image(str(path))
    path.write_text("<html>404</html>\n")
    with fails(ValueError, path, "not an image"):
        read_image(str(path))
    Image.effect_noise((64, 64), 90).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with fails(ValueError, path, "truncated"):
        read_image(str(path))
    with fails(ValueError, tmp_path):
        read_image(str(tmp_path))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
def test_the_contents_say_what_an_image_is_not_its_name(tmp_path, kind):
    Image.new("RGB", (5, 7), (10, 200, 30)).save(tmp_path / "a.jpg", kind)
    np.testing.assert_allclose(read_image(str(tmp_path / "a.jpg")).getpixel((2, 3)), (10, 200, 30), atol=4)


def test_a_file_that_would_start_a_program_is_not_an_image(tmp_path, fails):
    Image.new("RGB", (5, 7)).save(tmp_path / "a.jpg", "EPS")
    with fails(ValueError, tmp_path / "a.jpg", "not an image"):
        read_image(str(tmp_path / "a.jpg"))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_000, 60_000])
def test_a_small_file_that_claims_to_be_huge(tmp_path, fails, side):
    header = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b""))):
        header += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    (tmp_path / "a.png").write_bytes(header)
    with fails(ValueError, tmp_path / "a.png", "pixels"):
        read_image(str(tmp_path / "a.png"))


def test_an_image_that_may_not_be_read(tmp_path, fails, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")  # root, who may run the tests, may read everything

    (tmp_path / "a.png").touch()
    monkeypatch.setattr(Image, "open", refuse)
    with fails(ValueError, tmp_path / "a.png", "Permission denied"):
        read_image(str(tmp_path / "a.png"))


def test_only_files_are_listed(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")  # reading it would wait for ever
    assert list_images(tmp_path) == [str(tmp_path / "a.jpg")]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore::UserWarning")
@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "BMP"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path_factory, kind, cut, flips):
    path = tmp_path_factory.mktemp("damaged") / "a.jpg"
    Image.effect_noise((16, 24), 90).convert("RGB").save(path, kind)
    data = bytearray(path.read_bytes())
    for place, value in flips:
        data[int(place * len(data))] = value
    path.write_bytes(data[: int(cut * len(data)) + 1])
    try:
        assert read_image(str(path)).mode == "RGB"
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    finally:
        shutil.rmtree(path.parent)


def test_list_images(tmp_path):
    for name in ("10.jpg", "9.JPG", "2.png", "1.jpeg", "0.bmp", "notes.txt", "Thumbs.db", "jpg"):
        (tmp_path / name).write_text("")
    assert [path.rsplit("/", 1)[1] for path in list_images(tmp_path)] == ["0.bmp", "1.jpeg", "10.jpg", "2.png", "9.JPG"]
    assert list_images(tmp_path / "nowhere") == []


def test_list_images_leaves_folders_out_and_broken_links_in(tmp_path):
    (tmp_path / "1.jpg").mkdir()
    (tmp_path / "2.jpg").symlink_to(tmp_path / "nowhere")  # left out, it would shift the numbers unnoticed
    assert list_images(tmp_path) == [str(tmp_path / "2.jpg")]


def test_list_images_leaves_hidden_files_out(tmp_path):
    for name in ("1.jpg", "._1.jpg"):
        (tmp_path / name).write_text("")
    assert list_images(tmp_path) == [str(tmp_path / "1.jpg")]
