"""Reading image files."""

import os
import shutil
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data import ir_range_figure
from torchreid_rgbir.data.images import decode_image, parse_ir_range, read_image, read_unscaled, to_upright_rgb

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


def gray(path, rule="auto"):
    """The gray values that a file is read as, (H, W)."""
    pixels = np.asarray(read_image(str(path), rule))
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


@pytest.mark.parametrize(("low", "high"), [(0, 255), (7000, 9000), (51241, 52181), (0, 65535)])
def test_auto_uses_the_range_of_the_image_whatever_it_is(tmp_path, low, high):
    ramp = np.linspace(low, high, 64 * 32).reshape(64, 32).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "thermal.png")
    first, last = np.percentile(ramp, (1, 99))
    expected = np.rint(((ramp - first) * 255 / (last - first)).clip(0, 255))
    np.testing.assert_array_equal(gray(tmp_path / "thermal.png"), expected)
    assert len(np.unique(gray(tmp_path / "thermal.png"))) > 200


def test_fixed_limits_are_in_the_units_of_the_file(tmp_path):
    values = np.array([[6000, 7000, 8000, 9000, 60000]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert gray(tmp_path / "a.png", "7000,9000").tolist() == [[0, 0, 128, 255, 255]]
    Image.fromarray(np.array([[-10, 0, 36.6, 100]], np.float32)).save(tmp_path / "a.tif")
    assert gray(tmp_path / "a.tif", "-10, 1e2").tolist() == [[0, 23, 108, 255]]


def test_dtype_is_the_full_range_as_before(tmp_path):
    values = np.array([[0, 256, 257, 7000, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert gray(tmp_path / name, "dtype").tolist() == [[0, 0, 1, 27, 255]]
    Image.fromarray(np.array([[-5, 0, 77.9, 255, 300]], np.float32)).save(tmp_path / "f.tif")
    assert gray(tmp_path / "f.tif", "dtype").tolist() == [[0, 0, 77, 255, 255]]


@pytest.mark.parametrize("rule", ["auto", "dtype", "10,20"])
def test_an_image_of_8_bits_is_never_changed(tmp_path, rule):
    pixels = np.random.default_rng(0).integers(100, 120, (16, 8), dtype=np.uint8)
    for name in ("a.png", "a.tif", "a.bmp"):
        Image.fromarray(pixels).save(tmp_path / name)
        np.testing.assert_array_equal(gray(tmp_path / name, rule), pixels)


def write_tiff(path, values, sample_format):
    """A TIFF file with numbers that Pillow reads and does not write; sample_format: 1 unsigned, 2 signed, 3 float."""
    height, width = values.shape
    data = values.tobytes()
    tags = {256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: 1, 273: 8 + 2 + 10 * 12 + 4}
    tags |= {277: 1, 278: height, 279: len(data), 339: sample_format}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    path.write_bytes(struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", 0) + data)


@pytest.mark.parametrize(
    ("dtype", "sample_format", "offset"),
    [("<u2", 1, 60000), ("<i2", 2, -30000), ("<i4", 2, -2_000_000_000), ("<u4", 1, 4_000_000_000), ("<f4", 3, -40)],
)
def test_every_type_of_number_in_a_tiff_file(tmp_path, dtype, sample_format, offset):
    values = (np.arange(12).reshape(3, 4) * 10 + offset).astype(dtype)
    write_tiff(tmp_path / "a.tif", values, sample_format)
    expected = np.rint((np.arange(12) * 10 / 110).reshape(3, 4) * 255)
    np.testing.assert_array_equal(gray(tmp_path / "a.tif", f"{offset},{offset + 110}"), expected)
    assert gray(tmp_path / "a.tif").max() == 255 and gray(tmp_path / "a.tif").min() == 0


@pytest.mark.parametrize("rule", ["auto", "7,8"])
def test_one_value_alone_becomes_black(tmp_path, rule):
    values = np.full((16, 8), 7, np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert not gray(tmp_path / "a.png", rule).any()
    values[0, 0] = 65535  # a dead pixel
    Image.fromarray(values).save(tmp_path / "a.png")
    assert gray(tmp_path / "a.png", rule).sum() == 255


@pytest.mark.parametrize("text", ["", "Auto", "7000", "9000,7000", "7000,7000", "1,2,3", "nan,1", "0,inf", "a,b"])
def test_a_rule_that_there_is_not(text, fails):
    with fails(ValueError, "data.ir_range", repr(text), "auto, dtype, or LOW,HIGH"):
        parse_ir_range(text)


@pytest.mark.parametrize(("text", "same"), [("7000,9000", "7000, 9e3"), ("0.1,36.65", "0.10,36.650"), ("auto", "auto")])
def test_a_rule_has_one_text(text, same):
    assert str(parse_ir_range(same)) == text and parse_ir_range(text) == parse_ir_range(same)


BACK = {  # EXIF orientation -> what turns the upright image into the stored one
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", BACK)
@pytest.mark.parametrize(
    ("name", "options"),
    [("a.png", {}), ("a.tif", {}), ("b.tif", {"compression": "tiff_lzw"}), ("a.webp", {"lossless": True})],
)
def test_an_image_is_upright(tmp_path, orientation, name, options):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 12, 3), dtype=np.uint8)
    stored, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = orientation
    (stored if orientation == 1 else stored.transpose(BACK[orientation])).save(tmp_path / name, exif=exif, **options)
    np.testing.assert_array_equal(np.asarray(read_image(str(tmp_path / name))), pixels)


@pytest.mark.parametrize("orientation", BACK)
def test_an_upright_image_and_its_crops_are_not_turned_again(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    for read in (read_image, read_unscaled):
        upright = read(str(tmp_path / "a.png"))
        np.testing.assert_array_equal(to_upright_rgb(upright), upright)
        crop = upright.crop((2, 3, 12, 9))
        np.testing.assert_array_equal(to_upright_rgb(crop), crop)


def test_an_upright_jpeg_and_one_of_16_bits(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(tmp_path / "a.png", exif=exif)
    assert read_image(str(tmp_path / "a.jpg")).size == read_image(str(tmp_path / "a.png")).size == (20, 30)
    assert gray(tmp_path / "a.png", "dtype")[0, 0] == 580 // 257  # the lower left corner is turned to the upper left


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # as data/images.py does outside of pytest
def test_damaged_exif_data_do_not_make_an_image_unreadable(tmp_path):
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        Image.new("RGB", (5, 7)).save(tmp_path / "a.jpg", exif=exif)
        assert read_image(str(tmp_path / "a.jpg")).size == (5, 7)


def deep_png(color_type, num_channels):
    """A PNG file of 16 bits per channel."""
    rows = b"".join(b"\0" + bytes(range(6 * num_channels * 2)) for _ in range(4))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 6, 4, 16, color_type, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_images_that_would_lose_something_are_refused(tmp_path, fails):
    path = tmp_path / "a.tif"
    for value in (np.nan, np.inf):
        Image.fromarray(np.array([[1, value]], np.float32)).save(path)
        for rule in ("auto", "dtype", "0,1"):
            with fails(ValueError, path, "not finite"):
                read_image(str(path), rule)
    pages = [Image.new("L", (5, 7), value) for value in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with fails(ValueError, path, "3 pages"):
        read_image(str(path))
    for content in (deep_png(2, 3), deep_png(4, 2), deep_png(6, 4), b"P6 6 4 65535\n" + bytes(6 * 4 * 6)):
        path.write_bytes(content)
        with fails(ValueError, path, "several channels of 16 bits"):
            read_image(str(path))
    write_tiff(path, np.zeros((3, 4)), 3)
    with fails(ValueError, path, "64-bit"):
        read_image(str(path))


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path, fails):
    os.mkfifo(tmp_path / "a.jpg")
    with fails(ValueError, tmp_path / "a.jpg", "not a regular file"):
        read_image(str(tmp_path / "a.jpg"))


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
@pytest.mark.parametrize("side", [9_000, 18_000, 60_000])
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


def test_the_rules_differ_as_the_figure_in_the_docs_shows(tmp_path):
    levels = {
        rule: {name: len(np.unique(image)) for name, image in images.items()}
        for rule, images in ir_range_figure.compare(tmp_path).items()
    }
    assert levels["auto"]["usual"] > 150 and levels["auto"]["lamp"] < 50  # the lamp takes most of the range
    assert min(levels["7000,8600"].values()) > 100 and max(levels["dtype"].values()) < 8
    assert ir_range_figure.draw(ir_range_figure.compare(tmp_path)).size == Image.open(ir_range_figure.FIGURE).size


def test_the_contents_of_a_file_are_read_as_the_file_is(tmp_path):
    ramp = np.linspace(7000, 9000, 64 * 32).reshape(64, 32).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "thermal.png")
    for rule in ("auto", "dtype"):
        decoded = decode_image((tmp_path / "thermal.png").read_bytes(), rule)
        assert decoded.tobytes() == read_image(str(tmp_path / "thermal.png"), rule).tobytes()


@pytest.mark.parametrize(("data", "reason"), [(b"a text", "it is not an image"), (b"", "it has 0 bytes")])
def test_contents_that_are_not_an_image(data, reason):
    with pytest.raises(ValueError, match=rf"the file cannot be read \({reason}\): choose a JPEG"):
        decode_image(data)
