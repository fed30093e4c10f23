"""The configuration: torchreid's keys under torchreid's names, ours beside them; the defaults are the patent's setting."""

from torchreid_rgbir.config.load import differences, find, get, keys, load, override, shipped
from torchreid_rgbir.config.schema import defaults

__all__ = ["defaults", "differences", "find", "get", "keys", "load", "override", "shipped"]
