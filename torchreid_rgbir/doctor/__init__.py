"""Checks of a data set on disk."""

from torchreid_rgbir.doctor.diagnose import LAYOUTS, Diagnosis, diagnose

__all__ = ["LAYOUTS", "Diagnosis", "diagnose"]
