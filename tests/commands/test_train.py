"""The command's own checks. tests/runs trains."""

import logging

import pytest

from torchreid_rgbir.cli import main
from torchreid_rgbir.commands import train


@pytest.mark.parametrize(
    ("words", "warns"),
    [
        (["--config-file", "luckydc_sysu", "-s", "regdb"], True),
        (["--config-file", "agw_regdb", "-s", "sysu_mm01", "regdb"], True),
        (["--config-file", "luckydc_sysu"], False),
        (["--config-file", "mso_sysu", "-s", "regdb"], False),  # the project's own recipe
        (
            ["--config-file", "agw_sysu", "data.sources", "regdb", "test.evaluate", "True"],
            False,
        ),  # the authors' weights elsewhere
    ],
)
def test_a_recipe_of_authors_on_a_data_set_that_it_does_not_define(monkeypatch, caplog, words, warns):
    monkeypatch.setattr(train, "train_and_show", lambda cfg: 0)
    with caplog.at_level(logging.WARNING, "torchreid_rgbir"):
        assert main(["train", *words]) == 0
    expected = f"{words[1]} is the recipe of its authors for {'regdb' if 'agw_regdb' in words else 'sysu_mm01'}: on"
    assert (expected in caplog.text) == warns and caplog.text.count("recipe of its authors") == warns
