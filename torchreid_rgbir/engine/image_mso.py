"""The method in torchreid's own training loop: a subclass of its softmax + triplet engine, on one page.

torchreid's `run`, `train`, `test`, distance matrix, ranking, re-ranking and ranked images do everything else. `CrossModalEngine` trains
the same weights faster, resumes exactly, runs on several GPUs and scores by the data set's protocol.
"""

import math
import os.path as osp
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from torchreid_rgbir import config, host
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.data.unique_names import with_unique_names
from torchreid_rgbir.engine.guard import NonFiniteError
from torchreid_rgbir.engine.metadata import describe, metadata
from torchreid_rgbir.engine.step import prepare
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.modality import RGB
from torchreid_rgbir.models.loading import bare_model


class ImageMSOEngine(host.SoftmaxTripletEngine):
    """Trains a two-stream model with identity, weighted-triplet, perceptual-edge and contrastive-center losses.

    Args:
        datamanager: with cross-modal data sets.
        model: a two-stream model, built with `loss="mso"`.
        optimizer: torchreid's or torch's.
        criterion: called as `criterion(outputs, batch)`. The four losses of the method when None.
        scheduler: a learning-rate schedule, stepped once per epoch. None keeps the learning rate.
        use_gpu: use the GPU if there is one.

    Raises:
        ValueError: the data has one modality, the model does not return `Outputs`, or it is spread over several GPUs.

    Examples:
        A complete script is in docs/torchreid.md.
    """

    def __init__(
        self,
        datamanager: CrossModalDataManager,
        model: Any,
        optimizer: Optimizer,
        criterion: Any = None,
        scheduler: LRScheduler | None = None,
        use_gpu: bool = True,
    ):
        if not isinstance(datamanager, CrossModalDataManager):
            raise ValueError(
                f"ImageMSOEngine needs RGB and IR images, and {type(datamanager).__name__} gives images of one modality: "
                "use torchreid.data.CrossModalDataManager"
            )
        model = bare_model(model)
        if getattr(model, "loss", "") != "mso":
            raise ValueError(
                f"ImageMSOEngine needs a two-stream model with loss='mso', got {type(model).__name__} with "
                f"loss={getattr(model, 'loss', None)!r}: build it as build_model('dual_resnet50', num_classes, loss='mso')"
            )
        scheduler = scheduler or LambdaLR(optimizer, lambda epoch: 1.0)  # torchreid saves its state
        super().__init__(datamanager, model, optimizer, weight_x=1, scheduler=scheduler, use_gpu=use_gpu)
        self.device = torch.device("cuda" if self.use_gpu else "cpu")
        self.criterion = criterion or MSOLoss(datamanager.num_train_pids, model.feature_dim)
        if isinstance(self.criterion, nn.Module):
            self.criterion.to(self.device)
            optimized = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
            if any(p.requires_grad and id(p) not in optimized for p in self.criterion.parameters()):
                raise ValueError(
                    "the criterion has trainable parameters that the optimizer does not have: add them with "
                    "optimizer.add_param_group, or use CrossModalEngine, which also saves them in checkpoints"
                )
        self.modality = RGB  # of the test images that are being extracted

    def train(self, *args: Any, **kwargs: Any) -> None:
        """torchreid's epoch. The sampler learns which epoch it draws, so that a resumed run draws the same images."""
        self.datamanager.sampler.set_epoch(self.epoch)
        super().train(*args, **kwargs)

    def forward_backward(self, data: dict) -> dict[str, float]:
        """One training step on a batch of the train loader.

        Returns:
            The weighted sum of the losses, each loss, and the accuracy.

        Raises:
            NonFiniteError: a loss is not finite. The weights were not updated.
        """
        batch, inputs = prepare(self.datamanager, data, self.device, self.epoch, self.batch_idx)
        outputs = self.model(inputs, batch.num_rgb)
        losses = self.criterion(outputs, batch)
        accuracy = (outputs.logits.argmax(1) == batch.pids).float().mean()
        summary = {name: value.item() for name, value in (losses | {"acc": accuracy}).items()}
        for name, value in reversed(summary.items()):  # the sum comes first, and is not finite if a part is not
            if not math.isfinite(value):
                raise NonFiniteError(
                    f"{name} is {value} in epoch {self.epoch + 1}, batch {self.batch_idx + 1}. The weights were not updated. "
                    "Lower the learning rate"
                )
        self.optimizer.zero_grad()
        losses["loss"].backward()
        self.optimizer.step()
        return summary

    def parse_data_for_eval(self, data: dict) -> tuple[Tensor, Tensor, Tensor]:
        """Images, identities and cameras of a test batch, which has one modality."""
        self.modality = int(data["modality"][0])  # torchreid passes only the images on
        return super().parse_data_for_eval(data)

    def extract_features(self, input: Tensor) -> Tensor:
        """Test images (B, 3, H, W) of one modality, not normalized, to features (B, D)."""
        return self.model.stream(self.modality)(self.datamanager.transforms.normalize(input.to(self.device)))

    def test(self, *args: Any, **kwargs: Any) -> float:
        """torchreid's test: all images of one modality against all of the other.  Returns Rank-1, a fraction."""
        print("torchreid ranking, not the data set's protocol (CrossModalEngine scores by the protocol)")
        return super().test(*args, **kwargs)

    def _evaluate(self, dataset_name: str = "", *args: Any, **kwargs: Any) -> tuple[float, float]:
        """torchreid's, with one file of ranked results per query although images in different folders have the same name."""
        if not kwargs.get("visrank"):
            return super()._evaluate(dataset_name, *args, **kwargs)
        tests = self.datamanager.test_dataset[dataset_name]
        queries = tests["query"]
        with TemporaryDirectory() as folder:
            tests["query"] = with_unique_names(queries, folder)
            try:
                return super()._evaluate(dataset_name, *args, **kwargs)
            finally:
                tests["query"] = queries

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Writes torchreid's checkpoint and adds what the plugin's commands need to rebuild the model from the file."""
        about = metadata(self.model.name, self.model, self.datamanager)
        cfg = config.defaults()
        cfg.data.ir_range = self.datamanager.ir_range
        if isinstance(self.criterion, MSOLoss):
            for name, weight in self.criterion.weights.items():
                cfg.loss.mso[f"weight_{name}"] = float(weight)
        state = {
            "state_dict": self.model.state_dict(),
            "epoch": epoch + 1,
            "rank1": float(rank1),  # torch cannot read torchreid's NumPy scalar
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "about": about | {"config": describe(cfg, self.model, self.datamanager).dump()},
        }
        host.utils.save_checkpoint(state, osp.join(save_dir, "model"), is_best=is_best)
