"""The sum of MSO's losses (ACM MM 2021): L = L_id + L_wrt + L_pef + L_cmcc, every weight 1. Other recipes weight other losses."""

from typing import Any

import torch
from torch import Tensor, nn

from torchreid_rgbir.distributed import gather_batch, world_size
from torchreid_rgbir.losses.registry import LOSSES, Loss
from torchreid_rgbir.models.batch import Batch, Outputs

METHOD = ("id", "wrt", "pef", "cmcc")  # the order of the sum; other losses follow in the order of registration


class MSOLoss(nn.Module):
    """The weighted sum of the registered losses. A loss of weight 0 is neither built nor computed.

    VGG is in this module, so that it is neither in the model's checkpoint nor in its optimizer.

    Args:
        num_classes: N, the number of training identities. Only losses with parameters per class need it.
        feature_dim: D. Only losses with parameters of that size need it.
        gather_features: let losses that compare images see the features of all processes, with gradients to all of them.
        **settings: `weight_NAME` of a registered loss, and `NAME_OPTION` for its options, such as `pef_weights="random"` or
            `cmcc_form="ratio"`. Two options are shared and have no prefix: `label_smooth` and `margin`.

    Raises:
        FileNotFoundError: VGG's ImageNet weights are not in torch's cache, and there is no network.
        TypeError: a setting is unknown.
        ValueError: a weight is negative, no weight is above 0, or an option has a value that it does not take.

    Examples:
        >>> criterion = MSOLoss(weight_pef=0, cmcc_form="ratio")
        >>> list(criterion.losses)
        ['id', 'wrt', 'cmcc']
    """

    def __init__(
        self,
        num_classes: int | None = None,
        feature_dim: int | None = None,
        gather_features: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__()
        known = {f"weight_{name}" for name in LOSSES} | {argument(n, o) for n in LOSSES for o in LOSSES[n].options}
        if unknown := sorted(settings.keys() - known):
            raise TypeError(f"MSOLoss has no setting {unknown[0]!r}: choose from {', '.join(sorted(known))}")
        self.gather_features = gather_features
        ordered = (*METHOD, *(name for name in LOSSES if name not in METHOD))
        self.weights = {name: settings.get(f"weight_{name}", LOSSES[name].weight) for name in ordered}
        if min(self.weights.values()) < 0 or max(self.weights.values()) == 0:
            raise ValueError(f"loss weights are {self.weights}: no weight may be negative, and one must be above 0")
        self.losses: dict[str, Loss] = {}
        for name in (name for name in ordered if self.weights[name]):
            options = {
                o: settings.get(argument(name, o), LOSSES[name].options[o].default) for o in LOSSES[name].options
            }
            loss = self.losses[name] = LOSSES[name].build(num_classes, feature_dim, **options)
            if isinstance(loss, nn.Module):
                self.add_module(f"loss_{name}", loss)

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Computes the losses of a batch.

        Args:
            outputs: what the model returned in training.
            batch: what it was given.

        Returns:
            Scalars: 'loss', the weighted sum, and 'loss_NAME', each loss of a weight above 0, unweighted.
        """
        outputs = outputs.full_precision()
        # Losses that compare images may see the batch of all processes.
        gathered = (outputs, batch)
        losses = {}
        for name, loss in self.losses.items():
            if self.gather_features and LOSSES[name].compares_images and gathered[1] is batch:
                gathered = _gather(outputs, batch)
            device = outputs.features.device.type
            with torch.autocast(device, enabled=LOSSES[name].autocast and torch.is_autocast_enabled(device)):
                losses[f"loss_{name}"] = loss(*(gathered if LOSSES[name].compares_images else (outputs, batch)))
        total = torch.stack([self.weights[name] * losses[f"loss_{name}"] for name in self.losses]).sum()
        return {"loss": total, **losses}

    def trained(self) -> dict[str, nn.Module]:
        """The losses that have trainable parameters, by name."""
        return {
            name: loss
            for name, loss in self.named_children()
            if any(parameter.requires_grad for parameter in loss.parameters())
        }


def argument(name: str, option: str) -> str:
    """The name of `MSOLoss`'s argument for an option of a loss."""
    return option if LOSSES[name].options[option].key else f"{name}_{option}"


def _gather(outputs: Outputs, batch: Batch) -> tuple[Outputs, Batch]:
    names = ("features", "pooled", "logits")
    rows = {name: gather_batch(getattr(outputs, name), batch.num_rgb) for name in names}
    processes = world_size()
    pids = gather_batch(batch.pids, batch.num_rgb)
    gathered = batch._replace(pids=pids, num_rgb=batch.num_rgb * processes, num_ids=batch.num_ids * processes)
    return outputs._replace(**rows), gathered
