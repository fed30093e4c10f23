"""Means over the batches of an epoch that stay on their device until they are read."""

from typing import Any

import torch
from torch import Tensor

from torchreid_rgbir import distributed


class RunningMeans:
    """Means of named scalars; batches that are not finite do not count."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sums: Tensor | float = 0.0  # (N,)
        self.count: Tensor | float = 0.0

    def add(self, values: dict[str, Tensor], finite: Tensor) -> None:
        """Adds a batch.  values: the same names each time; finite: whether to, a boolean scalar."""
        self.names = list(values)
        stacked = torch.stack([value.float() for value in values.values()])
        stacked = torch.where(finite, stacked, 0.0)
        # What a checkpoint brings lies on the CPU.
        self.sums = _to(self.sums, stacked) + stacked
        self.count = _to(self.count, stacked) + finite.float()

    def read(self) -> dict[str, float]:
        """The means so far, over all processes, not a number where no batch counted; waits for the device."""
        if not self.names:
            return {}
        return dict(zip(self.names, distributed.mean(self.sums / self.count).tolist(), strict=True))  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        return {"names": self.names, "sums": self.sums, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.names, self.sums, self.count = state["names"], state["sums"], state["count"]


def _to(value: Tensor | float, other: Tensor) -> Tensor | float:
    return value.to(other.device) if isinstance(value, Tensor) else value
