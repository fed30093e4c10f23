"""The configuration: torchreid's keys with torchreid's names, and the keys of this package."""

from torchreid_rgbir.config.load import differences, find, get, keys, load, override, shipped
from torchreid_rgbir.config.schema import defaults

__all__ = ["defaults", "differences", "find", "get", "keys", "load", "override", "shipped"]
