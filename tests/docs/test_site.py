"""The documentation site renders formulas, and its API pages contain every public name."""

import importlib
import inspect
import re

import pytest

from tests.pages import PAGES, text_of
from torchreid_rgbir.extras import MissingExtra

PACKAGES = ("data", "engine", "export", "losses", "metrics", "models", "protocols", "retrieval", "visual")


def test_formulas_become_mathml_and_code_stays():
    pytest.importorskip("latex2mathml")
    markdown = pytest.importorskip("markdown")
    text = "inline $a_b * c_d < \\{e\\}$, `$HOME$`, 5 $ and 6 $\n\n$$\\sum_{i} x_i$$\n\n```\n$x$\n```\n\n| $f_i$ | $g_i$ |\n|-|-|\n"
    html = markdown.markdown(text, extensions=["tools.mathml", "fenced_code", "tables"])
    assert html.count("<math") == 4 and html.count('display="block"') == 1
    assert "<em>" not in html and "arithmatex" in html and "\\(" not in html and "\\[" not in html
    assert "<code>$HOME$</code>" in html and "$x$" in html and "5 $ and 6 $" in html
    assert "<mo>&#x0003C;</mo>" in html and "<mi>e</mi>" in html


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_on_an_api_page(name):
    shown = set(re.findall(r"^::: ([\w.]+)$", "\n".join(text_of(page) for page in PAGES), re.M))
    package = importlib.import_module(f"torchreid_rgbir.{name}")
    for public in package.__all__:
        value = getattr(package, public)
        module = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
        assert module in shown or module is None, f"{public} of {module}"  # a table such as MODELS has no module


def test_every_name_on_an_api_page_exists():
    for shown in re.findall(r"^::: ([\w.]+)$", "\n".join(text_of(page) for page in PAGES), re.M):
        try:
            importlib.import_module(shown)
        except MissingExtra:
            continue
        except ModuleNotFoundError:
            module, _, name = shown.rpartition(".")
            assert hasattr(importlib.import_module(module), name), shown
