"""Optional packages, which are installed as extras: `pip install 'torchreid-rgbir[export]'`."""

import importlib.util


class MissingExtra(ImportError, ValueError):
    """A package of an extra is not installed. The command line reports it like any other user error."""


def require(extra: str, *modules: str) -> None:
    """Checks that the modules of an extra are installed. Call it before importing them and before any long work.

    Args:
        extra: The name of the extra in setup.py.
        *modules: The modules that are imported next.

    Raises:
        MissingExtra: A module is not installed. The message has the pip command.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingExtra(f"{', '.join(missing)} is not installed: run `pip install 'torchreid-rgbir[{extra}]'`")
