import contextlib
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import torchreid_rgbir
from torchreid_rgbir import config
from torchreid_rgbir.config import checks
from torchreid_rgbir.config.schema import loss_options
from torchreid_rgbir.losses import LOSSES

SHIPPED = sorted(path.stem for path in config.shipped())
PACKAGE = Path(torchreid_rgbir.__file__).parent


def test_the_patents_setting_value_by_value():
    cfg = config.load("mso_sysu")
    assert (cfg.data.height, cfg.data.width) == (288, 144)
    assert cfg.train.batch_size == 64
    assert cfg.sampler.num_instances == 4  # K, of each modality
    assert cfg.train.batch_size // (2 * cfg.sampler.num_instances) == 8  # P
    assert cfg.data.transforms == ["pad_crop", "random_flip"]
    assert cfg.train.max_epoch == 200
    assert (cfg.train.optim, cfg.train.weight_decay) == ("adam", 0.0005)
    assert (cfg.train.lr, cfg.train.warmup_epoch, cfg.train.stepsize, cfg.train.gamma) == (0.005, 10, [20, 25, 30], 0.1)
    assert (cfg.model.name, cfg.model.last_stride, cfg.model.pretrained) == ("dual_resnet50", 1, True)
    weights = {name: weight for name, weight in cfg.loss.mso.items() if weight}
    assert weights == {"weight_id": 1.0, "weight_wrt": 1.0, "weight_pef": 1.0, "weight_cmcc": 1.0}
    assert cfg.loss.softmax.label_smooth is False
    assert (cfg.loss.pef.entry, cfg.loss.pef.weights) == ("image", "imagenet")
    assert (cfg.test.query, cfg.test.dist_metric) == ("ir", "cosine")
    assert cfg.data.norm_mean == [0.485, 0.456, 0.406]
    assert cfg.data.norm_std == [0.229, 0.224, 0.225]


def test_the_defaults_are_the_patents():
    patent, defaults = config.load("mso_sysu"), config.defaults()
    patent.test.eval_freq = defaults.test.eval_freq
    assert patent == defaults


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration_is_sound(name):
    checks.check(config.load(name))


def test_every_key_is_read():
    source = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name not in ("load.py", "schema.py"))
    losses = {f"loss.mso.weight_{name}" for name in LOSSES} | {key for name in LOSSES for key in loss_options(name)}
    others = [key for key in config.keys(config.defaults()) if key not in losses]  # the registry's reach their losses
    unread = [key for key in others if not re.search(rf"cfg\.{re.escape(key)}\b", source)]
    assert unread == ["data.type"]  # torchreid's; anything but image is refused


def test_overrides_win_and_are_typed():
    cfg = config.override(
        config.load("quickstart"),
        [
            "train.lr",
            "1",
            "data.transforms",
            "[random_flip]",
            "data.sources",
            "regdb",
            "model.pretrained",
            "True",
            "train.weight_decay",
            "5e-4",
        ],
    )
    assert cfg.train.lr == 1.0 and isinstance(cfg.train.lr, float)
    assert cfg.data.transforms == ["random_flip"]
    assert cfg.data.sources == ["regdb"]
    assert cfg.model.pretrained is True
    assert cfg.train.weight_decay == 5e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.learning_rate", "1"], "unknown configuration key train.learning_rate"),
        (["train.max_epochs", "1"], "did you mean train.max_epoch?"),
        (["train", "1"], "unknown configuration key train"),
        (["train.lr"], "pairs KEY VALUE, got train.lr: give every key a value"),
        (["train.lr", "fast"], "train.lr is 'fast': expected a number"),
        (["train.max_epoch", "1.5"], "expected a whole number"),
        (["model.pretrained", "1"], "expected True or False"),
        (["train.stepsize", "[a, b]"], "expected a list of whole numbers"),
        (["data.norm_mean", "[a, b, c]"], "expected a list of numbers"),
        (["data.sources", "[[a]]"], "expected a list of texts"),
    ],
)
def test_overrides_that_cannot_be(words, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        config.override(config.defaults(), words)


TEXTS = [
    "2026_11_28",
    "2026-11-28",
    "007",
    "1.10",
    "10:30",
    "0x1F",
    "1e3",
    "False",
    "null",
    "~",
    "yes",
    " a b ",
    "[x]",
    "é",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_as_it_was_typed(tmp_path, text):
    cfg = config.override(config.defaults(), ["data.save_dir", text, "data.sources", f"[{text.strip(' []')}]"])
    assert cfg.data.save_dir == text and cfg.data.sources == [text.strip(" []")]
    (tmp_path / "written.yaml").write_text(cfg.dump(), encoding="utf-8")
    assert config.load(str(tmp_path / "written.yaml")) == cfg
    quoted = f"data: {{save_dir: '{text}', sources: ['{text}']}}\ntrain: {{lr: '0.5', max_epoch: \"3\"}}\n"
    (tmp_path / "quoted.yaml").write_text(quoted, encoding="utf-8")
    cfg = config.load(str(tmp_path / "quoted.yaml"))
    assert (cfg.data.save_dir, cfg.data.sources, cfg.train.lr, cfg.train.max_epoch) == (text, [text], 0.5, 3)


@pytest.mark.parametrize("text", ["", "null", "~", "[]"])
def test_an_empty_value_is_an_empty_list(tmp_path, text):
    (tmp_path / "a.yaml").write_text(f"data:\n  targets: {text}\n  transforms: {text}\ntrain:\n  stepsize: {text}\n")
    for cfg in (
        config.load(str(tmp_path / "a.yaml")),
        config.override(config.defaults(), ["data.targets", text, "data.transforms", text, "train.stepsize", text]),
    ):
        assert (cfg.data.targets, cfg.data.transforms, cfg.train.stepsize) == ([], [], [])


def test_merged_text_stays_as_it_was_typed(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "data: {<<: [{save_dir: 2026_11_28}, {sources: [007]}], root: 1.10}\nmodel: {resume: '<<'}\n"
    )
    cfg = config.load(str(tmp_path / "a.yaml"))
    assert (cfg.data.save_dir, cfg.data.sources, cfg.data.root) == ("2026_11_28", ["007"], "1.10")
    assert cfg.model.resume == "<<"


def test_text_without_quotes_in_a_file_stays_too(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "data: {save_dir: 2026_11_28, root: 2026-11-28, sources: [007]}\nmodel: {resume: }\n"
    )
    cfg = config.load(str(tmp_path / "a.yaml"))
    assert (cfg.data.save_dir, cfg.data.root, cfg.data.sources, cfg.model.resume) == (
        "2026_11_28",
        "2026-11-28",
        ["007"],
        "",
    )


def test_a_file_with_a_byte_order_mark_and_windows_lines(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfdata:\r\n  height: 64\r\n  root: 0123\r\n")
    cfg = config.load(str(tmp_path / "a.yaml"))
    assert (cfg.data.height, cfg.data.root) == (64, "0123")


def test_off_is_a_word_though_yaml_reads_it_as_false(tmp_path):
    assert config.override(config.defaults(), ["train.amp", "False"]).train.amp == "off"
    cfg = config.override(config.defaults(), ["train.amp", "off"])
    checks.check(cfg)
    (tmp_path / "config.yaml").write_text(cfg.dump())
    assert config.load(str(tmp_path / "config.yaml")).train.amp == "off"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.type", "video"], "data.type is 'video'"),
        (["loss.name", "center"], "loss.name is 'center': choose from mso, softmax, triplet"),
        (
            ["loss.name", "triplet", "loss.triplet.weight_t", "0", "loss.triplet.weight_x", "0"],
            "every weight under loss.triplet is 0",
        ),
        (["loss.cmcc.form", "hard"], "choose from soft_margin, ratio"),
        (["train.batch_size", "0"], "train.batch_size is 0"),
        (["train.accumulate", "0"], "train.accumulate is 0"),
        (["train.ema", "1"], "train.ema is 1.0: it must be 0 to 0.999999"),
        (["train.amp", "half"], "choose from off, bf16, fp16"),
        (["train.compile", "all"], "train.compile is 'all': choose from False, True, step"),
        (["train.compile", "1"], "train.compile is '1': choose from False, True, step"),
        (["train.compile", "step", "sampler.name", "mcja"], "sampler.name mcja does not make: set train.compile True"),
        (["data.cache", "memory"], "choose from none, ram, disk"),
        (["loss.mso.weight_id", "-1"], "loss.mso.weight_id is -1.0: it must be 0 or more"),
        (["loss.mso.weight_wrt_sq", ".nan"], "loss.mso.weight_wrt_sq is nan"),
        (["loss.mso.weight_tri", "-1"], "loss.mso.weight_tri is -1.0: it must be 0 or more"),
        (["loss.mso.weight_hctri", ".inf"], "loss.mso.weight_hctri is inf: it must be 0 or more"),
        (
            [
                "loss.mso.weight_id",
                "0",
                "loss.mso.weight_wrt",
                "0",
                "loss.mso.weight_pef",
                "0",
                "loss.mso.weight_cmcc",
                "0",
            ],
            "nothing to train",
        ),
        (["data.sources", "[]"], "data.sources is empty"),
        (["train.lr", ".nan"], "train.lr is nan: it must be a number above 0"),
        (["train.lr", ".inf"], "train.lr is inf"),
        (["train.gamma", "-1"], "train.gamma is -1"),
        (["train.weight_decay", "-1"], "train.weight_decay is -1.0: it must be 0 or more"),
        (["train.seed", "99999999999"], "train.seed is 99999999999: it must be 0 to 4294967295"),
        (["train.start_epoch", "200"], "there is nothing to train: increase train.max_epoch"),
        (["adam.beta1", "2"], "adam.beta1 is 2.0"),
        (["loss.mso.weight_pef", ".nan"], "loss.mso.weight_pef is nan"),
        (["data.height", "16"], "data.height and data.width are 16 and 144, too small for VGG"),
        (["data.width", "4"], "data.width is 4: it must be 8 or more"),
        (["data.norm_mean", "[0.5]"], "give three numbers"),
        (["data.norm_std", "[0, 1, 1]"], "above 0"),
        (["data.save_dir", ""], "data.save_dir is empty"),
        (["test.rerank_settings", "[20, 6]"], "give k1, k2 and lambda"),
        (["test.rerank_settings", "[0, 0, 5]"], "give k1, k2 and lambda"),
        (["test.visrank", "True"], "test.evaluate True"),
        (["test.evaluate", "True"], "untrained network"),
        (["model.load_weights", "a", "model.resume", "b"], "both set: keep resume to continue a run"),
    ],
)
def test_settings_that_cannot_work(words, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        checks.check(config.override(config.defaults(), words))


@pytest.mark.parametrize("value", [False, True, "step"])
def test_what_is_compiled_is_a_choice_that_files_keep(tmp_path, value):
    cfg = config.override(config.defaults(), ["train.compile", str(value)])
    checks.check(cfg)
    (tmp_path / "written.yaml").write_text(cfg.dump(), encoding="utf-8")
    assert cfg.train.compile == config.load(str(tmp_path / "written.yaml")).train.compile == value


def test_a_compiled_step_is_for_one_process(monkeypatch):
    cfg = config.override(config.defaults(), ["train.compile", "step"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="train.compile step works in one process only"):
        checks.check(cfg)
    checks.check(config.override(cfg, ["train.compile", "True"]))


def test_a_missing_checkpoint_is_an_error_not_a_warning():
    with pytest.raises(FileNotFoundError, match="model.resume nowhere.pth is missing"):
        checks.check(config.override(config.defaults(), ["model.resume", "nowhere.pth"]))


def test_a_run_can_be_repeated_from_the_file_it_wrote(tmp_path):
    cfg = config.override(config.load("quickstart"), ["train.seed", "7"])
    (tmp_path / "config.yaml").write_text(cfg.dump())
    assert config.load(str(tmp_path / "config.yaml")) == cfg


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.py", "cfg = 1", "not a .yaml file: give a yaml file"),
        ("a.yaml", "train: [", "a.yaml is not yaml .*: correct the file"),
        ("a.yaml", "- train", "expected sections"),
        ("a.yaml", "train: {lr: fast}", "train.lr is 'fast'"),
        ("a.yaml", "train: 3", "unknown configuration key train"),
        ("a.yaml", "\x00", "not yaml"),
    ],
)
def test_files_that_cannot_be(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        config.load(str(path))


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(
        FileNotFoundError, match="there is no configuration mso: give .* one of .*mso_sysu, .*quickstart"
    ):
        config.load("mso")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.dictionaries(st.text(), inner),
    )
)
def test_any_yaml_is_a_configuration_or_one_clear_error(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("any") / "a.yaml"
    path.write_text(yaml.safe_dump({"train": tree}), encoding="utf-8")
    try:
        config.load(str(path))
    except ValueError as error:
        assert str(path) in str(error)


def test_the_setting_for_torchreids_own_script_is_the_same(tmp_path):
    from tests.upstream.default_config import get_default_config

    theirs, ours = get_default_config(), config.load("mso_sysu")
    theirs.merge_from_file(str(config.find("torchreid_mso_sysu")))
    shared = [key for key in config.keys(theirs) if key in config.keys(ours)]
    assert len(shared) > 40
    differ = {key for key in shared if config.get(theirs, key) != config.get(ours, key)}
    # An empty target is the source; 64 or 100 images at a time; torchreid's triplet loss plays no part.
    assert differ == {"data.targets", "test.batch_size", "loss.triplet.weight_x"}


@pytest.mark.parametrize(
    ("weights", "open_layers", "refused"),
    [
        ({"id": 1.0}, "[classifier]", False),
        ({"wrt": 1.0}, "[classifier]", True),
        ({"wrt": 1.0}, "[bottleneck, classifier]", False),
        ({"pef": 1.0}, "[bottleneck, classifier]", True),
        ({"pef": 1.0}, "[layer0]", False),
        ({"cmr": 1.0, "pef": 1.0}, "[classifier]", True),
        ({"tri_pooled": 1.0, "pef": 1.0}, "[bottleneck]", False),
    ],
)
def test_frozen_layers_that_no_loss_reaches_are_refused(weights, open_layers, refused):
    cfg = config.override(config.defaults(), ["train.fixbase_epoch", "1", "train.open_layers", open_layers])
    for name in LOSSES:
        cfg.loss.mso[f"weight_{name}"] = weights.get(name, 0.0)
    with pytest.raises(ValueError, match="no loss reaches it") if refused else contextlib.nullcontext():
        checks.check(cfg)
