"""Reads a configuration from a yaml file and from `KEY VALUE` pairs, and checks the keys and the types of values."""

import contextlib
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml
from yacs.config import CfgNode as CN

from torchreid_rgbir.config.schema import defaults

PACKAGE = Path(__file__).parents[1]
# The errors of PyYAML for text that it cannot read. Some are not its own, as for a date in month 13, an empty !!int, or
# a thousand brackets.
NOT_YAML = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError)


class _TextLoader(yaml.SafeLoader):
    """Reads every value as text, and inserts merged mappings (`<<`), which yaml.BaseLoader does not."""

    yaml_constructors: ClassVar[dict] = {}
    yaml_implicit_resolvers: ClassVar[dict] = {"<": yaml.SafeLoader.yaml_implicit_resolvers["<"]}


def load(file: str = "") -> CN:
    """Returns the defaults with the changes of a yaml file, which is found as by `find`. Without a file, the defaults.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not yaml, a key is unknown, or a value has the wrong type. The message suggests a key.
    """
    cfg = defaults()
    if file:
        path = find(file)
        try:
            text = path.read_text(encoding="utf-8-sig")  # Windows writes a byte order mark
            changes, words = yaml.safe_load(text) or {}, yaml.load(text, _TextLoader) or {}
        except NOT_YAML as error:
            raise ValueError(f"{path} is not yaml ({' '.join(str(error).split())}): correct the file") from None
        if not isinstance(changes, dict):
            raise ValueError(
                f"{path} is not a configuration: expected sections such as `train:`, got {type(changes).__name__}"
            )
        texts = dict(_flat(words))
        for key, value in _flat(changes):
            _set(cfg, key, value, texts.get(key, value), where=f"{path}: ")
    return cfg


def override(cfg: CN, overrides: Sequence[str]) -> CN:
    """Changes `cfg` in place by `KEY VALUE` pairs, as words of a command line.

    A value is parsed by the type of its key. Text keys keep the characters that were typed.

    Args:
        overrides: ["train.lr", "0.01", ...].

    Raises:
        ValueError: A key is unknown, a value has the wrong type, or a key has no value.

    Examples:
        >>> cfg = override(defaults(), ["train.lr", "0.01", "data.sources", "regdb", "data.save_dir", "2026_11_28"])
        >>> cfg.train.lr, cfg.data.sources, cfg.data.save_dir
        (0.01, ['regdb'], '2026_11_28')
        >>> override(cfg, ["train.lrate", "0.1"])
        Traceback (most recent call last):
        ValueError: unknown configuration key train.lrate, did you mean train.lr?
    """
    if len(overrides) % 2:
        raise ValueError(
            f"configuration overrides come in pairs KEY VALUE, got {' '.join(overrides)}: give every key a value"
        )
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        _set(cfg, key, _parse(text, yaml.SafeLoader), text, where="")
    return cfg


def find(file: str) -> Path:
    """Returns the path of a configuration file, or of a shipped configuration by its name, such as "mso_sysu".

    Raises:
        FileNotFoundError: there is no such file. The message lists the shipped configurations.
        ValueError: the file is not a yaml file.
    """
    path = Path(file).expanduser()
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
    elif path.suffix:
        raise ValueError(f"{file} is not a .yaml file: give a yaml file as the configuration")
    for path in shipped():
        if path.stem == file:
            return path
    names = ", ".join(sorted(path.stem for path in shipped()))
    raise FileNotFoundError(f"there is no configuration {file}: give a .yaml file or one of {names}")


def differences(one: CN, other: CN) -> list[str]:
    """Returns the keys whose values differ."""
    return [key for key in keys(one) if get(one, key) != get(other, key)]


def shipped() -> list[Path]:
    """Returns the paths of the configurations that the package contains."""
    # They are in the package if it is installed, and next to it in a checkout.
    return [*(PACKAGE / "configs").glob("*.yaml"), *(PACKAGE.parent / "configs").glob("*.yaml")]


def _parse(text: str, loader: type) -> Any:
    try:
        return yaml.load(text, loader)
    except NOT_YAML:
        return text


def _flat(tree: Any, prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def keys(cfg: CN) -> list[str]:
    """Returns the names of all values, such as `train.lr`."""
    return [key for key, _ in _flat(cfg)]


def get(cfg: CN, key: str) -> Any:
    """Returns the value of a key such as `train.lr`."""
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _set(cfg: CN, key: str, value: Any, words: Any, where: str) -> None:
    """Sets a key to `value`, as yaml reads it. Text and lists of text are set to `words`, the unconverted value."""
    known = keys(cfg)
    if key not in known:
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
        hint = f", did you mean {close[0]}?" if close else f": all keys are in {PACKAGE / 'config/schema.py'}"
        raise ValueError(f"{where}unknown configuration key {' '.join(key.split())}{hint}")
    section, _, name = key.rpartition(".")
    node, old = get(cfg, section), get(cfg, key)
    if isinstance(old, list) and value is None:
        value = []  # an empty value, or null
    elif isinstance(old, list):
        if all(isinstance(item, str) for item in old):
            value = _parse(words, _TextLoader) if isinstance(words, str) and words[:1] == "[" else words
        value = _list(key, value if isinstance(value, list) else [value], old, where)  # one word is a list of one
    elif key == "train.compile":  # True, False, or a word that `checks` knows
        value = old = value if isinstance(value, bool) else str(words)
    elif key == "model.pretrained":  # True, False, or the path of a file
        value = words if isinstance(value, str) else value
        old = value if isinstance(value, (bool, str)) else True
    elif isinstance(old, str):
        if value is None and where:
            words = ""  # an empty value in a file
        value = "off" if key == "train.amp" and value is False else words  # yaml reads off as False
    elif isinstance(value, str):
        value = _parse(value, yaml.SafeLoader)  # a quoted number
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(old, float) and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)  # yaml reads 5e-4 as text
    if type(value) is not type(old):
        raise ValueError(f"{where}{key} is {value!r}: expected {_kind(old)}, such as {old!r}")
    node[name] = value


def _list(key: str, values: list, old: list, where: str) -> list:
    """Checks the types of a list's values. They are those of the default, and text if the default is empty."""
    kinds = {type(value) for value in old} or {str}
    accepted: dict[type, type | tuple] = {str: str, int: int, float: (int, float)}
    kind = max(kinds, key=lambda k: k is float)
    plural = {str: "texts", int: "whole numbers", float: "numbers"}[kind]
    if not all(isinstance(value, accepted[kind]) and not isinstance(value, bool) for value in values):
        raise ValueError(f"{where}{key} is {values!r}: expected a list of {plural}, such as {old!r}")
    return values


def _kind(value) -> str:
    return {bool: "True or False", int: "a whole number", float: "a number", list: "a list", str: "text"}[type(value)]
