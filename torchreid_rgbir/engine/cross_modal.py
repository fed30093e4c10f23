"""The cross-modal engine: torchreid's softmax + triplet engine with the patent's losses and a protocol for its test."""

import dataclasses
import datetime
import logging
import os.path as osp
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from torchreid_rgbir import distributed
from torchreid_rgbir.data.cross_modal import Item
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.data.transforms import to_unit
from torchreid_rgbir.engine import collapse
from torchreid_rgbir.engine.optimizer_step import Update, compile_works
from torchreid_rgbir.engine.resumable import ResumableEngine
from torchreid_rgbir.engine.testing import EvalOptions
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.metrics import report
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import RGB
from torchreid_rgbir.protocols.ranked_lists import ranked_lists
from torchreid_rgbir.terminal import progress
from torchreid_rgbir.visual.ranked import draw_ranked, save_picture

logger = logging.getLogger(__name__)


class CrossModalEngine(ResumableEngine):
    """Trains a dual-stream model on batches of two modalities.

    Args:
        datamanager, model, optimizer, scheduler, use_gpu: torchreid's; the model is on the device already.
        criterion: the sum of the losses; None for an engine that only tests.
        testing: how the model is scored.
        amp, accumulate, ema: of the step; see `Update`.
        compiled: run the backbone through torch.compile, where that works.
        **options: of ResumableEngine.
    """

    def __init__(
        self,
        datamanager: CrossModalDataManager,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: MSOLoss | None = None,
        scheduler: LRScheduler | None = None,
        use_gpu: bool = True,
        testing: EvalOptions | None = None,
        amp: str = "off",
        accumulate: int = 1,
        ema: float = 0.0,
        compiled: bool = False,
        **options: Any,
    ):
        super().__init__(datamanager, model, optimizer, scheduler, use_gpu, **options)
        self.device = torch.device("cuda" if self.use_gpu else "cpu")
        # Outside the registered model: torchreid opens every layer of a model for training, and would save VGG with it.
        self.criterion: Any = criterion if criterion is None else criterion.to(self.device)
        self.update = Update(model, self.guard, self.device, amp, accumulate, ema)
        if compiled and compile_works(self.device):
            for network in {self.model, self.tested}:
                network.compile_backbone()
        self.testing = testing or EvalOptions()
        for loaders in self.test_loader.values():
            loaders["query"].dataset.check_protocol(self.testing.query, self.testing.sampling)
        self.features: dict[str, TestFeatures] = {}  # data set -> of its last test
        self.parallel = model  # the model as the training step calls it, which several processes may share
        self.trained: list[bool] = []  # which of its parameters require gradients

    @property
    def tested(self) -> Any:
        """The model that is tested and saved: with averaged weights where there are such."""
        return self.update.tested

    @property
    def parts(self) -> dict[str, Any]:
        """Whatever has a state besides the model, by its name in a checkpoint."""
        return super().parts | {"update": self.update}

    def train(
        self, print_freq: int = 10, fixbase_epoch: int = 0, open_layers: Sequence[str] | None = None
    ) -> dict[str, float]:
        """One epoch, or what is left of it. Losses stay on the device and are read back every `print_freq` batches.

        Returns:
            The means of the losses.

        Raises:
            ValueError: a loss or a gradient is not finite.
        """
        self.set_model_mode("train")
        self.two_stepped_transfer_learning(self.epoch, fixbase_epoch, open_layers)
        trained = [parameter.requires_grad for parameter in self.model.parameters()]
        if trained != self.trained:  # torchreid opens layers as epochs pass
            self.trained, self.parallel = trained, distributed.parallel(self.model)
        first = self.batches_done
        self.datamanager.sampler.set_epoch(self.epoch, first)
        self.num_batches = len(self.train_loader)

        start = time.monotonic()
        bar = progress(
            self.train_loader,
            f"epoch {self.epoch + 1}/{self.max_epoch}",
            self.num_batches,
            unit="batch",
            done=first,
            shown=distributed.rank() == 0,
        )
        for self.batch_idx, data in enumerate(bar, first):
            self.means.add(self.forward_backward(data), self.finite)
            self.batches_done = done = self.batch_idx + 1
            if done % print_freq == 0 or done == self.num_batches:
                losses = self._read()
                text = " ".join(
                    f"{name} {value:.4f}" for name, value in losses.items() if name not in collapse.MEASURES
                )
                bar.set_postfix_str(text, refresh=False)
                if bar.disable or done == self.num_batches:
                    seconds = (time.monotonic() - start) / (done - first)
                    left = seconds * (self.num_batches - done + (self.max_epoch - self.epoch - 1) * self.num_batches)
                    logger.info(
                        "epoch %d/%d batch %d/%d  %s  lr %.3g  %.3g s/batch  eta %s",
                        *(self.epoch + 1, self.max_epoch, done, self.num_batches, text, self.get_current_lr(), seconds),
                        datetime.timedelta(seconds=round(left)),
                    )
            # Between a step and the next: a checkpoint holds no gradients that add up.
            if not self.update.is_due(self.batch_idx, self.num_batches):
                continue
            if distributed.world_size() == 1:
                self.stop.check()
            elif (done % print_freq == 0 or done == self.num_batches) and distributed.any_rank(
                self.stop.signal is not None
            ):
                self.stop.now()
        losses = self.means.read()
        collapse.warn(losses, self.epoch)
        if self.is_target(losses):
            logger.info(
                "mean loss %.4f of epoch %d is at or under the target %g",
                losses["loss"],
                self.epoch + 1,
                self.target_loss,
            )
        return losses

    def _read(self) -> dict[str, float]:
        self.guard.check(self.epoch)
        losses = self.means.read()
        if self.writer is not None:
            step = self.epoch * self.num_batches + self.batch_idx
            for name, value in losses.items():
                self.writer.add_scalar(f"Train/{name}", value, step)
            self.writer.add_scalar("Train/lr", self.get_current_lr(), step)
        return losses

    def forward_backward(self, data: dict) -> dict[str, Tensor]:
        """One training step; nothing here waits for the device.

        Args:
            data: a batch of the train loader, RGB half first.

        Returns:
            The summed loss, its parts, the accuracy and the measures of collapse, as tensors on the device.
        """
        images, pids = (tensor.to(self.device, non_blocking=True) for tensor in self.parse_data_for_train(data))
        sampler = self.datamanager.sampler
        num_rgb, num_ids = len(images) // 2, sampler.num_own_ids
        transforms = self.datamanager.transforms
        images = transforms.augment(images, num_rgb, self.epoch, self.batch_idx)

        place = self.batch_idx, len(self.train_loader)
        with distributed.no_sync_if(self.parallel, not self.update.is_due(*place)):
            with self.update.autocast():
                logits, features, maps = self.parallel(transforms.normalize(images), num_rgb)
            losses = self.criterion(logits, features, maps, pids, to_unit(images), num_rgb, num_ids)
            if (
                "loss_id" not in losses
            ):  # nothing would reach the classifier, and parallel training waits for every gradient
                losses["loss"] = losses["loss"] + 0 * logits.sum()
            self.finite = self.update(losses, *place, data["impath"])
        losses["acc"] = (logits.argmax(1) == pids).float().mean()
        whole = distributed.gather_batch(features.detach())
        return {name: value.detach() for name, value in losses.items()} | collapse.measures(whole, sampler.num_ids)

    def extract_features(self, input: Tensor, modality: int = RGB) -> Tensor:
        """Normalized images (B, 3, H, W) of one modality to features (B, D)."""
        return self.testing.embed(self.tested, input, modality)

    @torch.no_grad()
    def extract(self, loaders: Sequence[DataLoader]) -> TestFeatures:
        """Features of every image of the loaders, in order; each loader holds one modality, and this process's share of it."""
        distributed.share_buffers(self.tested)
        parts: list[Tensor] = []
        items: list[Item] = []
        for loader in loaders:
            dataset: Any = loader.dataset
            items += dataset.data
            modality = items[-1].modality
            features = []
            for data in progress(loader, "extracting features", unit="batch", shown=distributed.rank() == 0):
                images, _, _ = self.parse_data_for_eval(data)
                images = self.datamanager.transforms.normalize(images.to(self.device, non_blocking=True))
                features.append(self.extract_features(images, modality).float())
            parts.append(distributed.gather_rows(features))
        impaths, pids, camids, _, modalities, numbers = (np.array(column) for column in zip(*items, strict=True))
        return TestFeatures(torch.cat(parts).numpy(), pids, camids, modalities, numbers, impaths)

    def _evaluate(
        self,
        dataset_name: str = "",
        *,
        query_loader: DataLoader,
        gallery_loader: DataLoader,
        dist_metric: str = "cosine",
        normalize_feature: bool = False,
        visrank: bool = False,
        visrank_topk: int = 10,
        save_dir: str = "",
        use_metric_cuhk03: bool = False,
        ranks: Sequence[int] = (),
        rerank: bool = False,
    ) -> tuple[float, float]:
        """Called by torchreid's `test`: one extraction, then every setting of the data set's protocol.

        Returns:
            Rank-1 and mAP of the protocol's first setting, fractions.
        """
        # Re-ranking takes longer than all else together: it waits for the last test.
        is_last = self.epoch + 1 >= getattr(self, "max_epoch", 0)
        features = self.extract([query_loader, gallery_loader])
        if normalize_feature:
            unit = F.normalize(torch.from_numpy(features.features)).numpy()
            features = dataclasses.replace(features, features=unit)
        dataset: Any = query_loader.dataset
        testing = self.testing
        rerank_now = testing.rerank if is_last else None
        settings = distributed.broadcast_from_rank0(
            lambda: dataset.score(features, testing.query, dist_metric, testing.sampling, rerank_now)
        )
        results = report.results(
            dataset_name,
            settings,
            query=testing.query,
            feature=testing.feature,
            distance=dist_metric,
            flip=testing.flip,
            normalize_feature=normalize_feature,
        )
        self.features[dataset_name], self.results[dataset_name] = features, results
        logger.info("%s", report.terminal_table(results))
        if visrank and distributed.rank() == 0:
            path = osp.join(save_dir, f"visrank_{dataset_name}", "ranked.png")
            lists = ranked_lists(features, testing.query, dataset.protocol.skip, dist_metric, visrank_topk)
            save_picture(draw_ranked(lists, f"{dataset_name}, {testing.query} queries"), path)
            logger.info("ranked results drawn to %s", path)
        mean = settings[0]["mean"]
        if len(self.results) == 1 and mean["mAP"] < self.best_mAP / 2:
            noise = np.random.default_rng(0).standard_normal(features.features.shape).astype(np.float32)
            chance = dataset.score(
                dataclasses.replace(features, features=noise), testing.query, dist_metric, testing.sampling
            )
            collapse.warn_of_chance(mean["mAP"], self.best_mAP, chance[0]["mean"]["mAP"])
        return mean["rank1"], mean["mAP"]
