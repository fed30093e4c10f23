"""torchreid's models and losses on cross-modal data, as baselines with the batches and the test of the method."""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_rgbir import host
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine.cross_modal import CrossModalEngine
from torchreid_rgbir.engine.evaluation import EvalOptions
from torchreid_rgbir.engine.guard import NonFiniteError
from torchreid_rgbir.modality import RGB

TORCHREID_ENGINES = {"softmax": host.engine.ImageSoftmaxEngine, "triplet": host.engine.ImageTripletEngine}


class BaselineEngine(CrossModalEngine):
    """Trains one of torchreid's models, which do not know modalities, with the training step of torchreid's engine.

    Batches, augmentation, schedule, protocol and files are those of the method. The test uses the model's output in
    evaluation mode as the feature.

    Args:
        datamanager, model, optimizer, **kwargs: as in CrossModalEngine.
        loss: "softmax" (ImageSoftmaxEngine) or "triplet" (ImageTripletEngine).
        label_smooth, margin, weight_t, weight_x: the options of torchreid's losses.
    """

    def __init__(
        self,
        datamanager: CrossModalDataManager,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: str = "softmax",
        label_smooth: bool = False,
        margin: float = 0.3,
        weight_t: float = 1.0,
        weight_x: float = 1.0,
        eval_options: EvalOptions | None = None,
        **kwargs: Any,
    ):
        eval_options = dataclasses.replace(eval_options or EvalOptions(), feature="eval")
        super().__init__(datamanager, model, optimizer, eval_options=eval_options, **kwargs)
        self.loss = loss
        self.weight_t, self.weight_x = weight_t, weight_x
        self.criterion_t = host.losses.TripletLoss(margin=margin)
        self.criterion_x = host.losses.CrossEntropyLoss(
            datamanager.num_train_pids, use_gpu=self.use_gpu, label_smooth=label_smooth
        )
        self.criterion = self.criterion_x  # the softmax engine uses this name

    def forward_backward(self, data: dict) -> tuple[dict[str, Tensor], Tensor]:
        """One training step of torchreid's engine, which reads its losses back at every step.

        Raises:
            NonFiniteError: the loss is not finite. torchreid has already updated the weights. No checkpoint is written.
        """
        images, pids = (tensor.to(self.device, non_blocking=True) for tensor in self.parse_data_for_train(data))
        transforms = self.datamanager.transforms
        num_rgb = self.datamanager.sampler.num_rgb(self.batch_idx)
        images = transforms.augment(images, num_rgb, self.epoch, self.batch_idx)
        # Some of torchreid's models use `view`, which fails for channels-last maps.
        normalized = transforms.normalize(images).contiguous()
        summary = TORCHREID_ENGINES[self.loss].forward_backward(self, {"img": normalized, "pid": pids})
        if "loss" not in summary:
            summary["loss"] = self.weight_t * summary.get("loss_t", 0) + self.weight_x * summary.get("loss_x", 0)
        if "acc" in summary:
            summary["acc"] /= 100  # torchreid's accuracy is in percent
        if not math.isfinite(summary["loss"]):
            place = f"epoch {self.epoch + 1}, batch {self.batch_idx + 1}"
            raise NonFiniteError(f"loss is {summary['loss']} in {place}: lower train.lr and start the run again")
        return {name: torch.tensor(value) for name, value in summary.items()}, torch.tensor(True)

    def extract_features(self, input: Tensor, modality: int = RGB) -> Tensor:
        """input: (B, 3, H, W), normalized images of one modality.  Returns features (B, D)."""
        input = input.contiguous()
        features = self.model(input)
        return features + self.model(input.flip(3)) if self.eval_options.flip else features
