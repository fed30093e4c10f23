import pytest
from PIL import Image, ImageDraw, ImageFont

from torchreid_rgbir.visual import fonts
from torchreid_rgbir.visual.figure import as_image, new_figure
from torchreid_rgbir.visual.fonts import find_font, shortened
from torchreid_rgbir.visual.grid import Cell, draw_grid


@pytest.fixture
def without_fonts(monkeypatch):
    """A system without a font for any script but Pillow's own."""
    find_font.cache_clear()
    monkeypatch.setattr(fonts, "_system_fonts", lambda text: iter(()))
    yield
    find_font.cache_clear()


def drawn(text, size=12):
    font, shown = find_font(text, size)
    image = Image.new("L", (400, 30))
    ImageDraw.Draw(image).text((0, 0), shown, fill=255, font=font)
    return image.tobytes()


def test_plain_text_keeps_pillows_font():
    font, shown = find_font("person 12", 12)
    assert (font.getname(), shown) == (ImageFont.load_default(12).getname(), "person 12")


@pytest.mark.parametrize("names", [("张三", "李四"), ("ωμ", "μω"), ("a\udce9", "a\udcea"), ("מ", "ש")])
def test_different_names_look_different(names):
    assert drawn(names[0]) != drawn(names[1])


def test_without_a_font_a_name_is_escaped(without_fonts):
    assert find_font("张三", 12)[1] == r"\u5f20\u4e09"
    assert find_font("Anna", 12)[1] == "Anna"
    assert drawn("张三") != drawn("李四")


def test_a_system_font_that_has_the_script_is_used():
    if not any("DejaVu" in path for path in fonts._system_fonts("ωμέγα")):
        pytest.skip("no system font with Greek letters")
    font, shown = find_font("ωμέγα", 12)
    assert shown == "ωμέγα" and "DejaVu" in font.getname()[0]


def test_a_shortened_name_differs_from_others_with_its_beginning():
    names = ["x" * 19 + letter for letter in "ab"]
    short = [shortened(name, 16) for name in names]
    assert len(set(short)) == 2 and [len(name) for name in short] == [16, 16]
    assert shortened("x" * 16, 16) == "x" * 16


def test_text_of_a_matplotlib_figure(without_fonts):
    images = []
    for name in ("张三", "李四"):
        figure = new_figure(200)
        figure.text(0.1, 0.5, name)
        images.append(as_image(figure).tobytes())
    assert images[0] != images[1]


def test_a_grid_draws_titles_and_text_below_each_image(tmp_path):
    Image.new("RGB", (10, 20), (200, 0, 0)).save(tmp_path / "a.png")
    cell = Cell(str(tmp_path / "a.png"), "#0000ff", ["张三", "0.5"])
    one = draw_grid([[cell, cell], [cell]], (20, 40), ["first", "second"])
    other = draw_grid([[cell, cell], [cell._replace(lines=["李四", "0.5"])]], (20, 40), ["first", "second"])
    assert one.size == other.size == (2 * (20 + 8 + 8) + 16, 2 * (40 + 8 + 36 + 8) + 36 + 16)
    assert one.getpixel((20, 70)) == (200, 0, 0) and one.getpixel((8, 44)) == (0, 0, 255)
    assert one.tobytes() != other.tobytes()
