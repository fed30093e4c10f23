"""The two modalities, written once: every batch, item and feature file uses these numbers."""

RGB, IR = 0, 1
NAMES = ("rgb", "ir")  # NAMES[RGB], NAMES[IR]


def modality_of(name: str) -> int:
    """The number of the modality "rgb" or "ir".

    Raises:
        ValueError: the name is a different one.
    """
    if name not in NAMES:
        raise ValueError(f"modality {name!r} is unknown: choose one of {', '.join(NAMES)}")
    return NAMES.index(name)
