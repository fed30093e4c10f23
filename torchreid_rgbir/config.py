"""The configuration: torchreid's keys under torchreid's names, ours beside them; the defaults are the patent's setting."""

import contextlib
import difflib
import math
from collections.abc import Sequence
from pathlib import Path

import yaml
from yacs.config import CfgNode as CN

from torchreid_rgbir.defaults import CHOICES, POSITIVE, RANGES, defaults
from torchreid_rgbir.download import is_remote

PACKAGE = Path(__file__).parent
# What PyYAML raises for text that it cannot make a value of; besides its own errors: a date of month 13, an empty !!int, a thousand brackets.
NOT_YAML = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError)


def load(file: str = "") -> CN:
    """The defaults, changed by a yaml file.

    Args:
        file: a path, or the name of a shipped configuration ("quickstart", "mso_sysu"); "" for none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is no yaml, an unknown key, a value of the wrong type; names the key and the nearest one that exists.
    """
    cfg = defaults()
    if file:
        path = find(file)
        try:
            changes = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except NOT_YAML as error:
            raise ValueError(f"{path} is not yaml: {' '.join(str(error).split())}") from None
        if not isinstance(changes, dict):
            raise ValueError(
                f"{path} is not a configuration: expected sections such as `train:`, got {type(changes).__name__}"
            )
        for key, value in _flat(changes):
            _set(cfg, key, value, where=f"{path}: ")
    return cfg


def override(cfg: CN, overrides: Sequence[str]) -> CN:
    """Changes `cfg` in place by `KEY VALUE` pairs, as words of a command line.

    Args:
        overrides: ["train.lr", "0.01", ...].

    Raises:
        ValueError: an unknown key, a value of the wrong type, a word without its partner.

    Examples:
        >>> cfg = override(defaults(), ["train.lr", "0.01", "data.sources", "regdb"])
        >>> cfg.train.lr, cfg.data.sources
        (0.01, ['regdb'])
        >>> override(cfg, ["train.lrate", "0.1"])
        Traceback (most recent call last):
        ValueError: unknown configuration key train.lrate, did you mean train.lr?
    """
    if len(overrides) % 2:
        raise ValueError(f"configuration overrides come in pairs KEY VALUE, got {' '.join(overrides)}")
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        try:
            value = yaml.safe_load(text)
        except NOT_YAML:
            value = text
        _set(cfg, key, value, where="")
    return cfg


def find(file: str) -> Path:
    """The path of a configuration file, or of a shipped one by its name.

    Raises:
        FileNotFoundError: there is none; lists the shipped ones.
        ValueError: not a yaml file (a Python one would be executed).
    """
    path = Path(file).expanduser()
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
    elif path.suffix:
        raise ValueError(f"{file} is not a .yaml file: a configuration is yaml")
    for shipped in _shipped():
        if shipped.stem == file:
            return shipped
    raise FileNotFoundError(
        f"no configuration {file}: give a .yaml file or one of {', '.join(sorted(p.stem for p in _shipped()))}"
    )


def check(cfg: CN) -> None:
    """Refuses values that cannot work, before anything is built.

    Raises:
        ValueError: names the key, its value and what it takes.
    """
    for key, choices in CHOICES.items():
        if _get(cfg, key) not in choices:
            raise ValueError(f"{key} is {_get(cfg, key)!r}: choose from {', '.join(choices)}")
    for key in POSITIVE:
        if not 0 < _get(cfg, key) < math.inf:
            raise ValueError(f"{key} is {_get(cfg, key)}: it must be a number above 0")
    for key, (low, high) in RANGES.items():
        if not low <= _get(cfg, key) <= high or math.isinf(_get(cfg, key)):
            raise ValueError(
                f"{key} is {_get(cfg, key)}: it must be {low} {'or more' if high == math.inf else f'to {high}'}"
            )
    small = min(cfg.data.height, cfg.data.width)
    if small < 32 and cfg.loss.name == "mso" and cfg.loss.mso.weight_pef:
        raise ValueError(
            f"images of {cfg.data.height}x{cfg.data.width} are too small for VGG in the perceptual edge loss: 32 at least"
        )
    for key in ("data.norm_mean", "data.norm_std"):
        values = _get(cfg, key)
        if len(values) != 3 or not all(math.isfinite(v) and (v > 0 or key.endswith("mean")) for v in values):
            raise ValueError(
                f"{key} is {values}: give three numbers, one a channel{'' if key.endswith('mean') else ', above 0'}"
            )
    if cfg.train.start_epoch >= cfg.train.max_epoch:
        raise ValueError(
            f"train.start_epoch is {cfg.train.start_epoch} of {cfg.train.max_epoch} epochs: nothing is left to train, raise train.max_epoch"
        )
    if not cfg.data.save_dir:
        raise ValueError("data.save_dir is empty: name the folder of the run, such as log/mso")
    weights = {"mso": cfg.loss.mso, "triplet": {k: v for k, v in cfg.loss.triplet.items() if k != "margin"}}
    if not any(weights.get(cfg.loss.name, {"id": 1}).values()):
        raise ValueError(f"every weight under loss.{cfg.loss.name} is 0: there is nothing to train for")
    if not cfg.data.sources:
        raise ValueError("data.sources is empty: name a data set (-s sysu_mm01)")
    k1, k2, weight = cfg.test.rerank_settings if len(cfg.test.rerank_settings) == 3 else (0, 0, 0)
    if k1 < 1 or k2 < 1 or k1 % 1 or k2 % 1 or not 0 <= weight <= 1:
        raise ValueError(
            f"test.rerank_settings is {cfg.test.rerank_settings}: give k1, k2 and lambda, two whole numbers and a share, such as [20, 6, 0.3]"
        )
    if cfg.test.visrank and not cfg.test.evaluate:
        raise ValueError(
            "test.visrank draws pictures of a trained model: set test.evaluate True and model.load_weights"
        )
    if cfg.model.load_weights and cfg.model.resume not in ("", "auto"):
        raise ValueError(
            "model.load_weights and model.resume are both set: resume continues a run, load_weights starts one"
        )
    if cfg.test.evaluate and not (cfg.model.load_weights or cfg.model.resume):
        raise ValueError(
            "test.evaluate True without weights would score an untrained network: set model.load_weights CHECKPOINT"
        )
    for key, path in (("load_weights", cfg.model.load_weights), ("resume", cfg.model.resume)):
        elsewhere = path == "auto" if key == "resume" else is_remote(path)
        if path and not elsewhere and not Path(path).expanduser().is_file():
            raise FileNotFoundError(
                f"model.{key} {path} is missing: give the path of a checkpoint (model/model.pth.tar-EPOCH)"
            )


def differences(one: CN, other: CN) -> list[str]:
    """The keys whose values differ."""
    return [key for key in _keys(one) if _get(one, key) != _get(other, key)]


def _shipped() -> list[Path]:
    # Beside the modules in an installed package, beside the package in a checkout.
    return [*(PACKAGE / "configs").glob("*.yaml"), *(PACKAGE.parent / "configs").glob("*.yaml")]


def _flat(tree: dict, prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _keys(cfg: CN) -> list[str]:
    return [key for key, _ in _flat(cfg)]


def _get(cfg: CN, key: str):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _set(cfg: CN, key: str, value, where: str) -> None:
    known = _keys(cfg)
    if key not in known:
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
        hint = f", did you mean {close[0]}?" if close else f": the keys are in {PACKAGE / 'defaults.py'}"
        raise ValueError(f"{where}unknown configuration key {' '.join(key.split())}{hint}")
    section, _, name = key.rpartition(".")
    node, old = _get(cfg, section), _get(cfg, key)
    if isinstance(old, list):
        value = _list(
            key, value if isinstance(value, list) else [value], old, where
        )  # torchreid's command line: a list of one is a word
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(old, float) and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)  # yaml reads 5e-4 as text
    if isinstance(old, str) and value is False:
        value = "off"  # yaml reads that word as False
    if isinstance(old, str) and value is None:
        value = ""
    if isinstance(old, str) and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if type(value) is not type(old):
        raise ValueError(f"{where}{key} is {value!r}: expected {_kind(old)}, such as {old!r}")
    node[name] = value


def _list(key: str, values: list, old: list, where: str) -> list:
    """`values`, whole numbers where the default has them, numbers, or text (data.targets is empty by default)."""
    kinds = {type(value) for value in old} or {str}
    accepted: dict[type, type | tuple] = {str: str, int: int, float: (int, float)}
    kind = max(kinds, key=lambda k: k is float)
    plural = {str: "texts", int: "whole numbers", float: "numbers"}[kind]
    if not all(isinstance(value, accepted[kind]) and not isinstance(value, bool) for value in values):
        raise ValueError(f"{where}{key} is {values!r}: expected a list of {plural}, such as {old!r}")
    return values


def _kind(value) -> str:
    return {bool: "True or False", int: "a whole number", float: "a number", list: "a list", str: "text"}[type(value)]
