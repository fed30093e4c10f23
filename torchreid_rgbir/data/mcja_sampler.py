"""The sampler of MCJA (Liang et al., Bridging the Gap, TCSVT 2024), in which the modalities are not balanced."""

from collections.abc import Iterator, Sequence

import numpy as np

from torchreid_rgbir.data.sampler import SAMPLERS, CrossModalSampler
from torchreid_rgbir.modality import RGB


class MCJASampler(CrossModalSampler):
    """Yields batches of P identities with K images each, of either modality. RGB images come first.

    For each epoch, the images of an identity are shuffled and cut into groups of K. The remaining images are dropped.
    If an identity has fewer than K images, they are sampled with replacement. Each batch has one group of P random
    identities that have groups left. The epoch ends when fewer than P identities are left, so its length varies.

    Args:
        pids: (N,) identity of each image.
        modalities: (N,) modality of each image.
        batch_size: P x K.
        num_instances: K, the number of images per identity.
        batches_per_epoch: 0 is one pass, as described. A larger number can take several passes.
        seed: of the run. The batches of an epoch depend only on (seed, epoch).
        rank, world_size: must be 0 and 1, because several processes would have different numbers of RGB images.

    Raises:
        ValueError: the batch size is not P x K, P is below 2, there are fewer than P identities, or several processes.
    """

    is_balanced = False

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
        self.num_instances = num_instances
        self.num_ids = self.num_own_ids = batch_size // num_instances
        self.batches_per_epoch = batches_per_epoch
        self.seed = seed
        self.is_rgb = np.asarray(modalities) == RGB  # (N,)
        self.images_of = {pid: np.flatnonzero(np.asarray(pids) == pid) for pid in sorted(set(pids))}
        if batch_size % num_instances or self.num_ids < 2:
            raise ValueError(
                f"train.batch_size {batch_size} is not P x K with P of 2 or more: set it to a multiple of {num_instances} "
                "(sampler.num_instances is the number of images per identity with sampler.name mcja)"
            )
        if len(self.images_of) < self.num_ids:
            raise ValueError(
                f"a batch needs {self.num_ids} identities, but there are {len(self.images_of)}: lower train.batch_size to "
                f"{num_instances * len(self.images_of)}"
            )
        if world_size > 1:
            raise ValueError(f"sampler.name mcja samples for one process, not for {world_size}: choose pk for torchrun")
        self.set_epoch(0)

    def num_rgb(self, batch_idx: int) -> int:
        return int(self.is_rgb[self.batches[batch_idx]].sum())

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        self.epoch, self.first = epoch, first
        rng = np.random.default_rng([self.seed, epoch])
        self.batches = list(self._one_epoch(rng))
        while len(self.batches) < self.batches_per_epoch:
            self.batches += self._one_epoch(rng)
        if self.batches_per_epoch:
            del self.batches[self.batches_per_epoch :]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches[self.first :])

    def _one_epoch(self, rng: np.random.Generator) -> Iterator[list[int]]:
        groups = {pid: self._groups(rng, images) for pid, images in self.images_of.items()}
        left = list(groups)
        while len(left) >= self.num_ids:
            chosen = rng.choice(left, self.num_ids, replace=False).tolist()
            batch = np.concatenate([groups[pid].pop() for pid in chosen])
            left = [pid for pid in left if groups[pid]]
            is_rgb = self.is_rgb[batch]
            yield np.concatenate([batch[is_rgb], batch[~is_rgb]]).tolist()

    def _groups(self, rng: np.random.Generator, images: np.ndarray) -> list[np.ndarray]:
        """Shuffles the images of an identity and cuts them into groups of K."""
        if len(images) < self.num_instances:
            return [rng.choice(images, self.num_instances)]
        shuffled = rng.permutation(images)[: len(images) // self.num_instances * self.num_instances]
        return list(shuffled.reshape(-1, self.num_instances))


SAMPLERS["mcja"] = MCJASampler
