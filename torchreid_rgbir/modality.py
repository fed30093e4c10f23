"""The two modalities, written once: every batch, item and feature file uses these numbers."""

RGB, IR = 0, 1
NAMES = ("rgb", "ir")  # NAMES[RGB], NAMES[IR]
