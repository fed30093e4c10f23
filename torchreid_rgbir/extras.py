"""Packages that only some commands need: installed as extras, `pip install 'torchreid-rgbir[export]'`."""

import importlib.util


class MissingExtra(ImportError, ValueError):
    """A package of an extra is not installed: an ImportError to a program that imports us, and a user's mistake like every other."""


def require(extra: str, *modules: str) -> None:
    """To be called before the first import of an extra's modules, and before anything expensive.

    Args:
        extra: its name in setup.py.
        *modules: what is about to be imported.

    Raises:
        MissingExtra: one of them is not installed; names the pip command.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingExtra(f"{', '.join(missing)} is not installed: run `pip install 'torchreid-rgbir[{extra}]'`")
