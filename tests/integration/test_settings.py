"""Every configuration key reaches torchreid's own script: from the plugin's settings, or as a key of torchreid."""

import logging
import runpy
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from tests import tiny
from tests.layouts import REPOSITORY
from torchreid_rgbir import config, host
from torchreid_rgbir.config.schema import choices
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.integration import patched_classes, settings, torchreid_patch
from torchreid_rgbir.integration.torchreid_keys import SHARED_KEYS, TORCHREID_KEYS
from torchreid_rgbir.models import MODELS, dual_resnet18
from torchreid_rgbir.runs import build

KEYS = config.keys(config.defaults())
OURS = [key for key in KEYS if key not in TORCHREID_KEYS]
ELSEWHERE = {
    "model.last_stride",
    "model.pooling",
    "model.drop_path",
    "model.allow_partial",
    "train.warmup_epoch",
    "train.warmup_start",
    "train.layer_decay",
    *settings.SEVERAL_PROCESSES,
}  # tests below


def text_of(value):
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def changed(key):
    """A different valid value of a key, as text."""
    value = config.get(config.defaults(), key)
    if key in choices():
        return next(choice for choice in choices()[key] if choice != value)
    special = {
        "data.cache_dir": "somewhere",
        "data.ir_range": "dtype",
        "train.layer_decay": "0.9",
        "test.rerank_settings": "[10, 3, 0.5]",
    }
    if key in special:
        return special[key]
    if isinstance(value, bool):
        return str(not value)
    if isinstance(value, list):
        return "[random_erase]"
    return str(value + (1 if isinstance(value, int) else 0.25))


def test_torchreids_keys_are_those_of_its_script():
    upstream = runpy.run_path(str(REPOSITORY / "tests/upstream/default_config.py"))["get_default_config"]()
    assert {*config.keys(upstream), "use_gpu"} == TORCHREID_KEYS
    assert set(SHARED_KEYS) == TORCHREID_KEYS & set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_a_setting_of_the_plugin_or_torchreids(key, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # as torchrun sets it
    if key == "train.layer_decay":
        with pytest.raises(ValueError, match="not available in torchreid's scripts, which build the optimizer"):
            settings.read([key, changed(key)])
    elif key in TORCHREID_KEYS:
        with pytest.raises(ValueError, match=f"{key} is torchreid's own key: pass it after the script's name"):
            settings.read([key, text_of(config.get(config.defaults(), key))])
    else:
        read = settings.read([key, changed(key)])
        assert config.differences(read, config.defaults()) == [key]


@pytest.fixture
def reached(monkeypatch):
    """Returns what data manager, engine and losses are called with, for the plugin's settings."""
    calls = []
    monkeypatch.setattr(CrossModalDataManager, "__init__", lambda self, **options: calls.append(options))

    def engine(self, *args, metadata, **options):
        self.model, self.use_gpu, self.device, self.checkpoint_path = args[1], False, torch.device("cpu"), ""
        self.optimizer = SimpleNamespace(param_groups=[{"params": []}])
        calls.append(options)

    monkeypatch.setattr(CrossModalEngine, "__init__", engine)
    monkeypatch.setattr(CrossModalEngine, "run", lambda self, *args, **kwargs: calls.append(self.eval_options))
    monkeypatch.setattr(CrossModalEngine, "criterion", None)
    monkeypatch.setattr(patched_classes, "write_results", lambda self, *args: calls.append(args))
    monkeypatch.setattr(patched_classes, "metadata", lambda *args: {})
    monkeypatch.setattr(build, "MSOLoss", lambda *args, **options: calls.append((args, options)) or torch.nn.Identity())

    def call(words):
        calls.clear()
        monkeypatch.setattr(settings, "current", settings.read(words))
        patched_classes.PatchedDataManager(root="here", sources="sysu_mm01")
        half = torch.full((3,), 0.5)
        data = SimpleNamespace(
            root="here",
            sources=["sysu_mm01"],
            targets=[],
            height=64,
            width=32,
            transforms=SimpleNamespace(mean=half, std=half),
        )
        make = tiny.tiny_resnet if "conv2" not in words else dual_resnet18  # with 64 maps of Layer0
        model = make(2, loss="mso", pretrained=False)
        patched_classes.PatchedEngine(data, model, None, weight_x=0).run(rerank=True)
        return repr(calls)

    return call


@pytest.mark.parametrize("key", [key for key in OURS if key not in ELSEWHERE])
def test_every_setting_has_an_effect(key, reached):
    needed = {"train.max_skipped": ["train.on_nonfinite", "skip"]}
    also = ["test.corruption", "rgb"] if key.startswith("test.corruption_") else needed.get(key, [])
    assert reached([*also, key, changed(key)]) != reached(also)


def test_torchreids_defaults_are_used_where_its_signature_is_shown(reached, monkeypatch):
    given = {}
    monkeypatch.setattr(CrossModalDataManager, "__init__", lambda self, **options: given.update(options))
    monkeypatch.setattr(settings, "current", settings.read(["data.transforms_rgb", "[channel_augment]"]))
    patched_classes.PatchedDataManager("here", "sysu_mm01", width=72)
    assert (given["height"], given["width"], given["batch_size_train"], given["batch_size_test"]) == (256, 72, 32, 32)
    assert (given["transforms"], given["transforms_rgb"]) == ("random_flip", ["channel_augment"])


def test_keys_for_several_processes():
    for key in settings.SEVERAL_PROCESSES:
        with pytest.raises(ValueError, match=f"{key} needs several processes: start the script with torchrun"):
            settings.read([key, "True"])


def test_a_configuration_file_gives_the_plugins_part(tmp_path, caplog):
    (tmp_path / "a.yaml").write_text("train: {lr: 0.5, amp: bf16}\nloss: {mso: {weight_pef: 0}}\ndata: {height: 64}\n")
    with caplog.at_level(logging.WARNING, "torchreid_rgbir"):
        read = settings.read(["train.amp", "off", "train.ema", "0.9"], str(tmp_path / "a.yaml"))
    assert config.differences(read, config.defaults()) == ["train.ema", "loss.mso.weight_pef"]
    assert "a.yaml also sets keys of torchreid, which only the script can set: data.height, train.lr" in caplog.text


def test_last_stride_reaches_the_model(monkeypatch):
    monkeypatch.setattr(settings, "current", settings.read(["model.last_stride", "2"]))
    model = torchreid_patch._build_model(None, "dual_resnet18", 7, "mso", pretrained=False)
    assert model.last_stride == 2 and model.classifier.out_features == 7


def test_options_of_some_networks_reach_them(monkeypatch):
    monkeypatch.setattr(settings, "current", settings.read(["model.pooling", "mean", "model.drop_path", "0.1"]))
    given = []
    factory = lambda num_classes, **options: given.append(options) or tiny.tiny_resnet(num_classes, loss="mso")  # noqa: E731
    monkeypatch.setitem(MODELS, "dual_resnet18", factory)
    torchreid_patch._build_model(None, "dual_resnet18", 7, "mso", pretrained=False)
    assert given[0]["pooling"] == "mean" and given[0]["drop_path"] == 0.1


def test_warm_up_epochs_reach_the_schedule(monkeypatch):
    monkeypatch.setattr(settings, "current", settings.read(["train.warmup_epoch", "4"]))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    build_scheduler = partial(torchreid_patch._build_lr_scheduler, host.optim.build_lr_scheduler)
    assert build_scheduler(optimizer, "warmup_cosine", max_epoch=9).get_last_lr() == [0.1]
    monkeypatch.setattr(settings, "current", settings.read(["train.warmup_start", "0.5"]))
    optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["initial_lr"] = 1.0
    assert build_scheduler(optimizer, "warmup_cosine", max_epoch=9).get_last_lr() == [0.5]
    for _ in range(4):
        optimizer.step()
    monkeypatch.setattr(settings, "current", settings.read(["train.warmup_epoch", "0"]))
    assert build_scheduler(optimizer, "warmup_cosine", max_epoch=9).get_last_lr() != [0.1]


def test_partial_weights_need_a_setting(monkeypatch, tmp_path, caplog):
    model = tiny.tiny_resnet(2, loss="mso")
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("layer4")}
    checkpoint.save({"state_dict": state}, tmp_path / "w")
    load = partial(torchreid_patch._load_pretrained_weights, lambda *args: "torchreid's")
    with pytest.raises(ValueError, match="layer4"):
        load(model, str(tmp_path / "w"))
    monkeypatch.setattr(settings, "current", settings.read(["model.allow_partial", "True"]))
    with caplog.at_level(logging.WARNING, "torchreid_rgbir"):
        load(model, str(tmp_path / "w"))
    assert "lacks weights, which keep their initial values" in caplog.text
    assert load(torch.nn.Identity(), "w") == "torchreid's"
