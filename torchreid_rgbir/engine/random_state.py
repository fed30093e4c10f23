"""The state of every random generator that a run uses, in values that `torch.load(weights_only=True)` can read."""

import random
from typing import Any

import numpy as np
import torch


def state_dict() -> dict[str, Any]:
    """Returns the states of Python's, NumPy's and torch's generators, on the CPU and on every GPU."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (kind, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def load_state_dict(state: dict[str, Any]) -> None:
    """Sets the states. Those of GPUs are set only if the number of GPUs is the same."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
