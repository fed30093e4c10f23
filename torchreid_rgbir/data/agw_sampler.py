"""The sampler of AGW (Ye et al., TPAMI 2021). CAJ's and LLCM's code use it, too."""

from collections.abc import Iterator

import numpy as np

from torchreid_rgbir.data.sampler import SAMPLERS, CrossModalSampler


class AGWSampler(CrossModalSampler):
    """Samples everything independently, as the authors' code does. `CrossModalSampler` describes the arguments.

    Each batch has P random identities, independent of earlier batches. The K images of an identity and modality are
    sampled with replacement, so a batch can have an image twice. Tracks are ignored. An epoch has one batch more than
    the complete batches of one pass over the larger modality.
    """

    def _one_pass(self, num_batches: float) -> int:
        return int(num_batches) + 1

    def _identities(self, rng: np.random.Generator) -> Iterator[list[int]]:
        while True:
            parts = [rng.choice(own, share, replace=False) for own, share in zip(self.sets, self.shares, strict=True)]
            yield np.concatenate(parts).tolist()

    def _sample(self, rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        return rng.choice(images, self.num_instances)


SAMPLERS["agw"] = AGWSampler
