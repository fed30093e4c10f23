"""The sampler of LuckyDC's baseline (github.com/LuckyDC/RGB-IR-ReID-Baseline)."""

from torchreid_rgbir.data.agw_sampler import AGWSampler
from torchreid_rgbir.data.sampler import SAMPLERS, CrossModalSampler


class LuckyDCSampler(AGWSampler):
    """Samples the identities of each batch independently. `CrossModalSampler` describes the arguments.

    The K images of an identity and modality are sampled with replacement only if there are fewer. An epoch is half a pass
    over the larger modality, because the authors' code counts P x K images for a batch and not P x 2K.
    """

    _sample = CrossModalSampler._sample

    def _one_pass(self, num_batches: float) -> int:
        return super()._one_pass(num_batches) // 2 or 1


SAMPLERS["luckydc"] = LuckyDCSampler
