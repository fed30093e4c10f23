import pytest

from torchreid_rgbir.benchmark import recipes as module
from torchreid_rgbir.runs.methods import QUESTIONS


def test_the_methods_take_turns_and_have_their_own_memory(monkeypatch):
    methods = ("id", "mso loss.pef.weights vgg16_bn", "resnet18:softmax")
    monkeypatch.setitem(QUESTIONS, "benchmark", QUESTIONS["benchmark"]._replace(methods=methods))
    measured = module.recipes(rounds=1)
    assert tuple(measured["medians"]) == tuple(measured["memory"]) == methods
    assert set(measured["ratios"]) == {f"{method} over id" for method in methods[1:]}
    assert measured["ratios"]["resnet18:softmax over id"] == pytest.approx(
        measured["medians"]["resnet18:softmax"] / measured["medians"]["id"]
    )
    assert measured["memory"]["id"] + 30e6 < measured["memory"][methods[1]]  # VGG's weights alone take 31 MB
