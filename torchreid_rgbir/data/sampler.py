"""The P x K x 2 sampler: every batch holds P identities with K images of each modality."""

import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from torchreid_rgbir.data.balance import frames_of_tracks, identities_of_sets
from torchreid_rgbir.modality import IR, NAMES, RGB

logger = logging.getLogger(__name__)


class CrossModalSampler(Sampler[list[int]]):
    """Yields batches of indices: the RGB half first, then the IR half, with the identities in the same order in both.

    An epoch goes through all identities of a data set in random order, repeatedly, so that the counts of two identities differ
    by at most one pass. If an identity has fewer than K images of a modality, they are sampled with replacement. If the images
    are frames of tracks, the K frames are of different tracks, as far as there are K. The batches of an epoch depend only on
    (seed, epoch).

    Args:
        pids: (N,) identity of each image.
        modalities: (N,) modality of each image.
        batch_size: P x 2K.
        num_instances: K, the number of images per identity *and modality*.
        batches_per_epoch: 0 is one pass, on average, over the larger modality.
        seed: of the run.
        rank, world_size: this process's place among those that share a batch. All sample the same P identities, and each
            yields its own P / world_size.
        tracks: (N,) a number for each image that tells the tracks of an identity and modality apart; None if there are none.
        dsetids: (N,) data set of each image; None if there is one. Every batch has identities of all data sets.
        balance: how many of each, see `balance.identities_of_sets`.

    Attributes:
        num_ids: P.
        num_own_ids: number of identities per batch that this process yields.

    Raises:
        ValueError: the batch size is not P x 2K, P is below 2 or is not divisible by `world_size`, or fewer than P
            identities have both modalities.

    Examples:
        >>> pids, modalities = [7, 7, 8, 8, 9, 9], [RGB, IR, RGB, IR, RGB, IR]
        >>> [batch] = CrossModalSampler(pids, modalities, batch_size=4, num_instances=1, batches_per_epoch=1)
        >>> [NAMES[modalities[i]] for i in batch]
        ['rgb', 'rgb', 'ir', 'ir']
        >>> [pids[i] for i in batch[:2]] == [pids[i] for i in batch[2:]]
        True
    """

    is_balanced = True  # each identity of a batch has as many RGB as IR images

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
        tracks: Sequence[int] | None = None,
        dsetids: Sequence[int] | None = None,
        balance: str = "size",
    ):
        if num_instances < 1 or batch_size < 1 or batch_size % (2 * num_instances):
            raise ValueError(
                f"train.batch_size {batch_size} is not P x 2K: set it to a multiple of {2 * max(num_instances, 1)} "
                f"(sampler.num_instances is {num_instances} images of each modality)"
            )
        if batches_per_epoch < 0:
            raise ValueError(
                f"sampler.batches_per_epoch is {batches_per_epoch}: set it to a number of batches, or to 0 for one pass over the data"
            )
        self.num_ids = batch_size // (2 * num_instances)
        self.num_instances = num_instances
        self.seed = seed
        self.epoch = self.first = 0
        if self.num_ids % world_size:
            raise ValueError(
                f"train.batch_size {batch_size} is {self.num_ids} identities, which cannot be divided evenly among {world_size} processes: "
                f"make it a multiple of {2 * num_instances * world_size}"
            )
        self.num_own_ids = self.num_ids // world_size
        self.own = slice(rank * self.num_own_ids, (rank + 1) * self.num_own_ids)

        found: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for index, (pid, modality) in enumerate(zip(pids, modalities, strict=True)):
            found[pid][modality].append(index)
        self.images = {pid: (np.array(rgb), np.array(ir)) for pid, (rgb, ir) in found.items() if rgb and ir}
        for modality in (RGB, IR):
            alone = sorted(pid for pid, halves in found.items() if not halves[1 - modality])
            if alone:
                shown = ", ".join(map(str, alone[:10])) + (", ..." if len(alone) > 10 else "")
                logger.warning(
                    "%d training identities have only %s images and are excluded: %s",
                    len(alone),
                    NAMES[modality],
                    shown,
                )

        if self.num_ids < 2:
            raise ValueError(
                f"train.batch_size {batch_size} has {self.num_ids} identity, but the losses compare at least 2: raise it to {4 * num_instances}"
            )
        if len(self.images) < self.num_ids:
            advice = (
                f"lower train.batch_size to {2 * num_instances * len(self.images)}"
                if len(self.images) > 1
                else "add data"
            )
            raise ValueError(
                f"a batch needs {self.num_ids} identities, but only {len(self.images)} have images of both modalities: {advice}"
            )
        self.tracks = None if tracks is None else np.asarray(tracks)
        set_of = {} if dsetids is None else dict(zip(pids, dsetids, strict=True))
        self.sets = [
            [pid for pid in sorted(self.images) if set_of.get(pid) == one] for one in sorted({*set_of.values()})
        ]
        self.sets = self.sets or [sorted(self.images)]
        self.shares = identities_of_sets([len(own) for own in self.sets], self.num_ids, balance)
        larger = max(sum(len(halves[modality]) for halves in self.images.values()) for modality in (RGB, IR))
        self.num_batches = batches_per_epoch or self._one_pass(larger / (self.num_ids * num_instances))

    def num_rgb(self, batch_idx: int) -> int:
        """The number of RGB images in a batch of the current epoch, as this process yields it.  batch_idx: from 0."""
        return self.num_own_ids * self.num_instances

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Sets the epoch of the next pass, and the batch at which it starts."""
        self.epoch = epoch
        self.first = first

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        identities = self._identities(rng)
        for number in range(self.num_batches):
            chosen = next(identities)
            images = [[self._sample(rng, self.images[pid][modality]) for pid in chosen] for modality in (RGB, IR)]
            if number >= self.first:  # earlier batches are sampled too, since later ones depend on them
                yield np.concatenate([own for half in images for own in half[self.own]]).tolist()

    def _one_pass(self, num_batches: float) -> int:
        """The length of an epoch, when the images of the larger modality fill `num_batches` halves."""
        return math.ceil(num_batches)

    def _identities(self, rng: np.random.Generator) -> Iterator[list[int]]:
        """Yields the P identities of each batch, those of several data sets mixed."""
        parts = [_passes(rng, own, share) for own, share in zip(self.sets, self.shares, strict=True)]
        while True:
            chosen = [pid for part in parts for pid in next(part)]
            yield chosen if len(parts) == 1 else rng.permutation(chosen).tolist()

    def _sample(self, rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        """The K images of an identity and modality."""
        if self.tracks is not None:
            return frames_of_tracks(rng, images, self.tracks[images], self.num_instances)
        return rng.choice(images, self.num_instances, replace=len(images) < self.num_instances)


def _passes(rng: np.random.Generator, pids: Sequence[int], num_ids: int) -> Iterator[list[int]]:
    """Yields `num_ids` identities at a time, from one random order of all after the other."""
    waiting: list[int] = []
    while True:
        if len(waiting) < num_ids:
            # Identities left over from the last pass come first; in the new pass they follow after this batch.
            order = rng.permutation(pids).tolist()
            fresh = [pid for pid in order if pid not in waiting][: num_ids - len(waiting)]
            waiting += fresh + [pid for pid in order if pid not in fresh]
        chosen, waiting = waiting[:num_ids], waiting[num_ids:]
        yield chosen


SAMPLERS: dict[str, type[CrossModalSampler]] = {"pk": CrossModalSampler}  # `sampler.name`. Other modules add theirs.
