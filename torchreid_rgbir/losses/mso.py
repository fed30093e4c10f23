"""The sum of MSO's losses (ACM MM 2021): L = L_id + L_wrt + L_pef + L_cmcc, every weight 1; other recipes weigh other parts.

To add a loss: a module of its own beside this one, a weight here, its line in `forward`, and its keys in `defaults.py`; CONTRIBUTING.md has the list.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchreid_rgbir import host
from torchreid_rgbir.distributed import gather_batch, world_size
from torchreid_rgbir.losses.contrastive_center import ContrastiveCenterLoss
from torchreid_rgbir.losses.hetero_center_triplet import hetero_center_triplet
from torchreid_rgbir.losses.perceptual_edge import PerceptualEdgeLoss
from torchreid_rgbir.losses.registry import LOSSES
from torchreid_rgbir.losses.weighted_triplet import weighted_triplet
from torchreid_rgbir.models.precision import full_precision, unit_length

SMOOTHING = 0.1  # torchreid's label smoothing


@full_precision
def identity(logits: Tensor, pids: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy of the class scores.  logits: (B, N); pids: (B,).  Returns a scalar, the mean over B."""
    return F.cross_entropy(logits, pids, label_smoothing=smoothing)


@full_precision
def batch_hard_triplet(features: Tensor, pids: Tensor, margin: float = 0.3) -> Tensor:
    """torchreid's own triplet loss with hard mining; it waits for the device.  features: (B, D); pids: (B,).  Returns a scalar."""
    return host.losses.TripletLoss(margin)(features, pids)


class MSOLoss(nn.Module):
    """The weighted sum of the losses; a part of weight 0 is neither built nor computed.

    VGG lives in this module, so it is in neither the model's checkpoint nor its optimizer.

    Args:
        weight_id: of the identity loss.
        weight_wrt: of the weighted triplet loss.
        weight_pef: of the perceptual edge loss.
        weight_cmcc: of the contrastive-center loss.
        weight_wrt_sq: of the weighted triplet loss with CAJ's squared difference.
        weight_tri: of the batch-hard triplet loss, torchreid's own.
        weight_hctri: of the hetero-center triplet loss.
        label_smooth: smooth the labels of the identity loss by torchreid's 0.1.
        pef_entry: 'image' or 'conv2'; see `VGGStages`.
        pef_weights: 'imagenet' or 'random'.
        pef_normalize: perceptual edge loss on maps and edges brought to [0, 1] per image.
        margin: of the batch-hard and the hetero-center triplet loss.
        cmcc_form: 'soft_margin' or 'ratio'.
        cmcc_normalize: contrastive-center loss on L2-normalized features.
        gather_features: compare the features of all processes' batches, with gradients to all of them, rather than this process's alone.
        own: weights of losses of one's own (`register_loss`), by their names.

    Raises:
        FileNotFoundError: no ImageNet weights of VGG in torch's cache, and no network.
        ValueError: a negative weight, no weight above 0, or an unknown name.
    """

    def __init__(
        self,
        weight_id: float = 1.0,
        weight_wrt: float = 1.0,
        weight_pef: float = 1.0,
        weight_cmcc: float = 1.0,
        weight_wrt_sq: float = 0.0,
        weight_tri: float = 0.0,
        weight_hctri: float = 0.0,
        label_smooth: bool = False,
        pef_entry: str = "image",
        pef_weights: str = "imagenet",
        pef_normalize: bool = True,
        margin: float = 0.3,
        cmcc_form: str = "soft_margin",
        cmcc_normalize: bool = True,
        gather_features: bool = False,
        own: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.weights = {
            "loss_id": weight_id,
            "loss_wrt": weight_wrt,
            "loss_pef": weight_pef,
            "loss_cmcc": weight_cmcc,
            "loss_wrt_sq": weight_wrt_sq,
            "loss_tri": weight_tri,
            "loss_hctri": weight_hctri,
            **{f"loss_{name}": weight for name, weight in (own or {}).items()},
        }
        if min(self.weights.values()) < 0 or max(self.weights.values()) == 0:
            raise ValueError(f"loss weights are {self.weights}: none may be negative, and one must be above 0")
        self.smoothing = SMOOTHING if label_smooth else 0.0
        self.pef = PerceptualEdgeLoss(pef_entry, pef_weights, pef_normalize) if weight_pef else None
        self.cmcc = ContrastiveCenterLoss(cmcc_form, normalize=False) if weight_cmcc else None
        self.cmcc_normalize = cmcc_normalize
        self.margin = margin
        self.gather_features = gather_features
        self.own = {f"loss_{name}": full_precision(LOSSES[name]) for name, weight in (own or {}).items() if weight}

    def forward(
        self,
        logits: Tensor,
        features: Tensor,
        maps: Tensor,
        pids: Tensor,
        images: Tensor,
        num_rgb: int,
        num_ids: int,
    ) -> dict[str, Tensor]:
        """The losses of a batch: the RGB half first, the same identities in the same order in both halves.

        Args:
            logits: (B, N) class scores.
            features: (B, D) after BN, not normalized.
            maps: (B, 64, h, w) from Layer0.
            pids: (B,) in 0..N-1.
            images: (B, 3, H, W) in [0, 1], not normalized.
            num_rgb: how many images are RGB.
            num_ids: P, the identities of the batch.

        Returns:
            Scalars: 'loss', the weighted sum, and the unweighted parts 'loss_id', 'loss_wrt', 'loss_pef', 'loss_cmcc',
            'loss_wrt_sq', 'loss_tri', 'loss_hctri' and 'loss_NAME' of one's own, those of weight 0 left out.
        """
        parts = {}
        if self.weights["loss_id"]:
            parts["loss_id"] = identity(logits, pids, self.smoothing)
        if self.gather_features:
            features, pids = gather_batch(features), gather_batch(pids)
            num_ids *= world_size()
        unit = unit_length(features)
        if self.weights["loss_wrt"]:
            parts["loss_wrt"] = weighted_triplet(unit, pids)
        if self.pef is not None:
            parts["loss_pef"] = self.pef(maps, images, num_rgb)
        if self.cmcc is not None:
            parts["loss_cmcc"] = self.cmcc(unit if self.cmcc_normalize else features, num_ids)
        if self.weights["loss_wrt_sq"]:
            parts["loss_wrt_sq"] = weighted_triplet(unit, pids, squared=True)
        if self.weights["loss_tri"]:
            parts["loss_tri"] = batch_hard_triplet(unit, pids, self.margin)
        if self.weights["loss_hctri"]:
            parts["loss_hctri"] = hetero_center_triplet(unit, num_ids, self.margin)
        for name, loss in self.own.items():
            parts[name] = loss(features, pids, num_ids)
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        return {"loss": total, **parts}
