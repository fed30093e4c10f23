"""One module per evaluation protocol: which gallery images a query ignores, and how galleries are drawn."""

from torchreid_rgbir.protocols import llcm, regdb, standard, sysu_mm01

__all__ = ["llcm", "regdb", "standard", "sysu_mm01"]
