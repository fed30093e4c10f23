"""The cross-modal engine: torchreid's softmax + triplet engine with the patent's losses and a protocol for its test."""

import dataclasses
import datetime
import logging
import math
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
from tqdm import tqdm

from torchreid_rgbir import host
from torchreid_rgbir.data.cross_modal import Item
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine import checkpoint
from torchreid_rgbir.engine.testing import Testing
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.metrics import report
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import RGB
from torchreid_rgbir.visual.ranked import draw_ranked, ranked_lists, save_picture

logger = logging.getLogger(__name__)


class _TargetReached(Exception):
    """An epoch's mean loss met the set condition (claim 9)."""


class CrossModalEngine(host.SoftmaxTripletEngine):
    """Trains a dual-stream model on batches of two modalities; `run()` is torchreid's.

    Args:
        datamanager, model, optimizer, scheduler, use_gpu: torchreid's; the model is on the device already.
        criterion: the sum of the losses; None for an engine that only tests.
        target_loss: training ends after an epoch whose mean loss is at or under it; 0 = never.
        testing: how the model is scored.
        about: written into checkpoints, so that a checkpoint alone tells how to use the model.
    """

    def __init__(
        self,
        datamanager: CrossModalDataManager,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: MSOLoss | None = None,
        scheduler: LRScheduler | None = None,
        use_gpu: bool = True,
        target_loss: float = 0.0,
        testing: Testing | None = None,
        about: dict[str, Any] | None = None,
    ):
        super().__init__(
            datamanager, model, optimizer, weight_x=1, scheduler=scheduler, use_gpu=use_gpu, label_smooth=False
        )
        self.device = torch.device("cuda" if self.use_gpu else "cpu")
        # Outside the registered model: torchreid opens every layer of a model for training, and would save VGG with it.
        self.criterion: Any = criterion if criterion is None else criterion.to(self.device)
        self.target_loss = target_loss
        self.testing = testing or Testing()
        for loaders in self.test_loader.values():
            loaders["query"].dataset.check_protocol(self.testing.query, self.testing.sampling)
        self.about = about or {}
        self.features: dict[str, TestFeatures] = {}  # data set -> of its last test
        self.results: dict[str, dict] = {}  # data set -> what results.json holds
        self.best_mAP = -1.0
        self.checkpoint_path = ""  # the last one written

    def run(self, save_dir: str = "log", **kwargs) -> None:
        """torchreid's `run`; ends early once the target loss is reached, with the same last test and checkpoint."""
        try:
            super().run(save_dir, **kwargs)
        except _TargetReached:
            # An empty range of epochs: torchreid goes straight to its last test.
            super().run(save_dir, **{**kwargs, "start_epoch": self.epoch + 1, "max_epoch": self.epoch + 1})

    def resume(self, path: str) -> int:
        """Continues from a checkpoint: weights, optimizer, schedule and best score.

        Returns:
            The number of epochs done.

        Raises:
            FileNotFoundError, ValueError: no checkpoint, or one that does not fit this run.
        """
        state = checkpoint.load(path)
        lacking = [key for key in ("state_dict", "optimizer", "scheduler", "epoch") if key not in state]
        if lacking:
            raise ValueError(
                f"{path} holds no {lacking[0]}: model.resume wants a checkpoint of a run, use model.load_weights"
            )
        try:
            self.model.load_state_dict(state["state_dict"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{path} is of another run ({str(error).splitlines()[-1].strip()}): resume with its config.yaml"
            ) from None
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.best_mAP = state.get("best_mAP", -1.0)
        self.epoch = state["epoch"]
        logger.info("resumed from %s after epoch %d", path, self.epoch)
        return self.epoch

    def train(self, print_freq: int = 10, fixbase_epoch: int = 0, open_layers: Sequence[str] | None = None) -> None:
        """One epoch. Losses stay on the device and are read back every `print_freq` batches.

        Raises:
            ValueError: a loss is not finite.
        """
        self.set_model_mode("train")
        self.two_stepped_transfer_learning(self.epoch, fixbase_epoch, open_layers)
        self.datamanager.sampler.set_epoch(self.epoch)
        self.num_batches = len(self.train_loader)

        start = time.time()
        means = _Means()
        bar = tqdm(self.train_loader, f"epoch {self.epoch + 1}/{self.max_epoch}", leave=False, disable=None)
        for self.batch_idx, data in enumerate(bar):
            means.add(self.forward_backward(data))
            done = self.batch_idx + 1
            if done % print_freq == 0 or done == self.num_batches:
                losses = self._read(means)
                text = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
                bar.set_postfix_str(text, refresh=False)
                if bar.disable or done == self.num_batches:
                    seconds = (time.time() - start) / done
                    left = seconds * (self.num_batches - done + (self.max_epoch - self.epoch - 1) * self.num_batches)
                    logger.info(
                        "epoch %d/%d batch %d/%d  %s  lr %.3g  %.2f s/batch  eta %s",
                        *(self.epoch + 1, self.max_epoch, done, self.num_batches, text, self.get_current_lr(), seconds),
                        datetime.timedelta(seconds=round(left)),
                    )
        self.update_lr()
        if self.target_loss > 0 and losses["loss"] <= self.target_loss:
            logger.info(
                "mean loss %.4f of epoch %d is at or under the target %g",
                losses["loss"],
                self.epoch + 1,
                self.target_loss,
            )
            raise _TargetReached

    def _read(self, means: "_Means") -> dict[str, float]:
        losses = means.read()
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad:
            raise ValueError(
                f"{bad[-1]} is {losses[bad[-1]]} in epoch {self.epoch + 1}, at or before batch {self.batch_idx + 1}: lower train.lr; "
                "no checkpoint of this epoch was written"
            )
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
            The summed loss, its parts and the accuracy, as tensors on the device.
        """
        images, pids = (tensor.to(self.device, non_blocking=True) for tensor in self.parse_data_for_train(data))
        num_rgb = len(images) // 2
        transforms = self.datamanager.transforms
        images = transforms.augment(images, num_rgb, self.epoch, self.batch_idx)

        logits, features, maps = self.model(transforms.normalize(images), num_rgb)
        losses = self.criterion(logits, features, maps, pids, images, num_rgb, self.datamanager.sampler.num_ids)

        self.optimizer.zero_grad()
        losses["loss"].backward()
        self.optimizer.step()
        losses["acc"] = (logits.argmax(1) == pids).float().mean()
        return {name: value.detach() for name, value in losses.items()}

    def extract_features(self, input: Tensor, modality: int = RGB) -> Tensor:
        """Normalised images (B, 3, H, W) of one modality to features (B, D)."""
        return self.testing.embed(self.model, input, modality)

    @torch.no_grad()
    def extract(self, loaders: Sequence[DataLoader]) -> TestFeatures:
        """Features of every image of the loaders, in order; each loader holds one modality."""
        features: list[Tensor] = []
        items: list[Item] = []
        for loader in loaders:
            dataset: Any = loader.dataset
            items += dataset.data
            modality = items[-1].modality
            for data in tqdm(loader, "extracting features", leave=False, disable=None):
                images, _, _ = self.parse_data_for_eval(data)
                images = self.datamanager.transforms.normalize(images.to(self.device, non_blocking=True))
                features.append(self.extract_features(images, modality))
        impaths, pids, camids, _, modalities, numbers = (np.array(column) for column in zip(*items, strict=True))
        return TestFeatures(torch.cat(features).float().cpu().numpy(), pids, camids, modalities, numbers, impaths)

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
        settings = dataset.score(
            features, testing.query, dist_metric, testing.sampling, testing.rerank if is_last else None
        )
        results = report.results(
            dataset_name, settings, query=testing.query, feature=testing.feature, distance=dist_metric
        )
        self.features[dataset_name], self.results[dataset_name] = features, results | {"flip": testing.flip}
        logger.info("%s", report.terminal_table(results))
        if visrank:
            path = osp.join(save_dir, f"visrank_{dataset_name}", "ranked.png")
            lists = ranked_lists(features, testing.query, dataset.protocol.skip, dist_metric, visrank_topk)
            save_picture(draw_ranked(lists, f"{dataset_name}, {testing.query} queries"), path)
            logger.info("ranked results drawn to %s", path)
        mean = settings[0]["mean"]
        return mean["rank1"], mean["mAP"]

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Writes `model/model.pth.tar-EPOCH`, and `model/model-best.pth.tar` when the last test's mAP is the best so far."""
        mAP = next(iter(self.results.values()))["settings"][0]["mean"]["mAP"]
        is_best = is_best or mAP > self.best_mAP
        self.best_mAP = max(mAP, self.best_mAP)
        state = {
            "state_dict": self.model.state_dict(),
            "epoch": epoch + 1,
            "rank1": float(rank1),  # torchreid leaves a numpy scalar, which weights_only refuses
            "mAP": float(mAP),
            "best_mAP": float(self.best_mAP),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else {},
            "about": self.about,
        }
        self.checkpoint_path = osp.join(save_dir, "model", f"model.pth.tar-{epoch + 1}")
        checkpoint.save(state, self.checkpoint_path)
        logger.info("checkpoint saved to %s", self.checkpoint_path)
        if is_best:
            checkpoint.save(state, osp.join(save_dir, "model", "model-best.pth.tar"))


class _Means:
    """Running means of tensors that stay on their device until they are read."""

    def __init__(self):
        self.names: list[str] = []
        self.values: list[Tensor] = []  # the sum so far
        self.count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        stacked = torch.stack([value.float() for value in values.values()])
        self.names = list(values)
        self.values = [self.values[0] + stacked] if self.values else [stacked]
        self.count += 1

    def read(self) -> dict[str, float]:
        return dict(zip(self.names, (self.values[0] / self.count).tolist(), strict=True))
