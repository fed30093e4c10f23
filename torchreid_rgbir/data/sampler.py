"""The P x K x 2 sampler: every batch holds P identities with K images of each modality."""

import logging
import math
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from torchreid_rgbir.modality import IR, NAMES, RGB

logger = logging.getLogger(__name__)


class CrossModalSampler(Sampler[list[int]]):
    """Yields batches of indices: the RGB half first, then the IR half, identities in the same order in both.

    An epoch passes through the identities in a random order again and again, so within an epoch no identity is drawn two times more than
    another; an identity with fewer than K images of a modality is drawn with replacement there. An epoch depends on (seed, epoch) alone.

    Args:
        pids: (N,) identity of each image.
        modalities: (N,) its modality.
        batch_size: P x 2K.
        num_instances: K, images of an identity *and modality*.
        batches_per_epoch: 0 = enough to draw every image of the larger modality once on average.
        seed: of the whole run.
        rank, world_size: this process's place among those that share a batch: all draw the same P identities, and each yields its own P / world_size.

    Attributes:
        num_ids: P.
        num_own_ids: how many of them this process yields.

    Raises:
        ValueError: P x 2K is not the batch size, P is under 2 or does not divide, or fewer than P identities have both modalities.

    Examples:
        >>> pids, modalities = [7, 7, 8, 8, 9, 9], [RGB, IR, RGB, IR, RGB, IR]
        >>> [batch] = CrossModalSampler(pids, modalities, batch_size=4, num_instances=1, batches_per_epoch=1)
        >>> [NAMES[modalities[i]] for i in batch]
        ['rgb', 'rgb', 'ir', 'ir']
        >>> [pids[i] for i in batch[:2]] == [pids[i] for i in batch[2:]]
        True
    """

    def __init__(
        self,
        pids: Sequence[int],
        modalities: Sequence[int],
        batch_size: int,
        num_instances: int,
        batches_per_epoch: int = 0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        if num_instances < 1 or batch_size < 1 or batch_size % (2 * num_instances):
            raise ValueError(
                f"train.batch_size {batch_size} is not P x 2K: make it a multiple of {2 * max(num_instances, 1)} "
                f"(sampler.num_instances is {num_instances} images of each modality)"
            )
        if batches_per_epoch < 0:
            raise ValueError(
                f"sampler.batches_per_epoch is {batches_per_epoch}: give a number of batches, or 0 for one pass over the data"
            )
        self.num_ids = batch_size // (2 * num_instances)
        self.num_instances = num_instances
        self.seed = seed
        self.epoch = self.first = 0
        if self.num_ids % world_size:
            raise ValueError(
                f"train.batch_size {batch_size} is {self.num_ids} identities, which {world_size} processes cannot share alike: "
                f"make it a multiple of {2 * num_instances * world_size}"
            )
        self.num_own_ids = self.num_ids // world_size
        self.own = slice(rank * self.num_own_ids, (rank + 1) * self.num_own_ids)

        found: dict[int, tuple[list[int], list[int]]] = {}
        for index, (pid, modality) in enumerate(zip(pids, modalities, strict=True)):
            found.setdefault(pid, ([], []))[modality].append(index)
        self.images = {pid: (np.array(rgb), np.array(ir)) for pid, (rgb, ir) in found.items() if rgb and ir}
        for modality in (RGB, IR):
            alone = sorted(pid for pid, halves in found.items() if not halves[1 - modality])
            if alone:
                shown = ", ".join(map(str, alone[:10])) + (", ..." if len(alone) > 10 else "")
                logger.warning(
                    "%d training identities have %s images only and are left out: %s",
                    len(alone),
                    NAMES[modality],
                    shown,
                )

        if self.num_ids < 2:
            raise ValueError(
                f"train.batch_size {batch_size} holds {self.num_ids} identity: the losses compare at least 2, raise it to {4 * num_instances}"
            )
        if len(self.images) < self.num_ids:
            advice = (
                f"lower train.batch_size to {2 * num_instances * len(self.images)}"
                if len(self.images) > 1
                else "add data"
            )
            raise ValueError(
                f"a batch wants {self.num_ids} identities and {len(self.images)} have images of both modalities: {advice}"
            )
        larger = max(sum(len(halves[modality]) for halves in self.images.values()) for modality in (RGB, IR))
        self.num_batches = batches_per_epoch or math.ceil(larger / (self.num_ids * num_instances))

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Chooses the epoch that the next pass draws, and the batch that it begins with."""
        self.epoch = epoch
        self.first = first

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        everybody = np.array(sorted(self.images))
        waiting: list[int] = []
        for number in range(self.num_batches):
            if len(waiting) < self.num_ids:
                # Those left over from the last pass come first; their turn in the new pass comes after this batch.
                order = rng.permutation(everybody).tolist()
                fresh = [pid for pid in order if pid not in waiting][: self.num_ids - len(waiting)]
                waiting += fresh + [pid for pid in order if pid not in fresh]
            drawn, waiting = waiting[: self.num_ids], waiting[self.num_ids :]
            images = [[self._draw(rng, self.images[pid][modality]) for pid in drawn] for modality in (RGB, IR)]
            if number >= self.first:  # the earlier ones are drawn all the same: the later ones depend on them
                yield np.concatenate([own for half in images for own in half[self.own]]).tolist()

    def _draw(self, rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        return rng.choice(images, self.num_instances, replace=len(images) < self.num_instances)
