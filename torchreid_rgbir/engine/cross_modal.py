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

from torchreid_rgbir import distributed, host
from torchreid_rgbir.data.cross_modal import Item
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.data.transforms import to_unit
from torchreid_rgbir.engine import checkpoint
from torchreid_rgbir.engine.testing import Testing
from torchreid_rgbir.engine.update import Update, compile_works
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
        amp, accumulate, ema: of the step; see `Update`.
        compiled: run the backbone through torch.compile, where that works.
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
        amp: str = "off",
        accumulate: int = 1,
        ema: float = 0.0,
        compiled: bool = False,
    ):
        super().__init__(
            datamanager, model, optimizer, weight_x=1, scheduler=scheduler, use_gpu=use_gpu, label_smooth=False
        )
        self.device = torch.device("cuda" if self.use_gpu else "cpu")
        # Outside the registered model: torchreid opens every layer of a model for training, and would save VGG with it.
        self.criterion: Any = criterion if criterion is None else criterion.to(self.device)
        self.update = Update(model, optimizer, self.device, amp, accumulate, ema)
        if compiled and compile_works(self.device):
            for network in {self.model, self.update.tested}:
                network.compile_backbone()
        self.target_loss = target_loss
        self.testing = testing or Testing()
        for loaders in self.test_loader.values():
            loaders["query"].dataset.check_sampling(self.testing.sampling)
        self.about = about or {}
        self.features: dict[str, TestFeatures] = {}  # data set -> of its last test
        self.results: dict[str, dict] = {}  # data set -> what results.json holds
        self.best_mAP = -1.0
        self.checkpoint_path = ""  # the last one written
        self.parallel = model  # the model as the training step calls it, which several processes may share
        self.trained: list[bool] = []  # which of its parameters require gradients
        if distributed.rank() > 0:
            self.writer = _Nowhere()  # torchreid's `run` would write TensorBoard events in every process

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
        self.update.load_state_dict(state.get("update", {}))
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
        trained = [parameter.requires_grad for parameter in self.model.parameters()]
        if trained != self.trained:  # torchreid opens layers as epochs pass
            self.trained, self.parallel = trained, distributed.parallel(self.model)
        self.datamanager.sampler.set_epoch(self.epoch)
        self.num_batches = len(self.train_loader)

        start = time.time()
        means = _Means()
        bar = self._bar(self.train_loader, f"epoch {self.epoch + 1}/{self.max_epoch}")
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

    def _bar(self, loader: DataLoader, text: str) -> tqdm:
        return tqdm(loader, text, leave=False, disable=True if distributed.rank() > 0 else None)

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

        place = self.batch_idx, len(self.train_loader)
        with distributed.gradients_stay(self.parallel, not self.update.is_due(*place)):
            with self.update.autocast():
                logits, features, maps = self.parallel(transforms.normalize(images), num_rgb)
            num_ids = self.datamanager.sampler.num_own_ids
            losses = self.criterion(logits, features, maps, pids, to_unit(images), num_rgb, num_ids)
            # Without an identity loss nothing would reach the classifier, and parallel training waits for the gradient of every parameter.
            self.update(losses["loss"] if "loss_id" in losses else losses["loss"] + 0 * logits.sum(), *place)
        losses["acc"] = (logits.argmax(1) == pids).float().mean()
        return {name: value.detach() for name, value in losses.items()}

    def extract_features(self, input: Tensor, modality: int = RGB) -> Tensor:
        """Normalised images (B, 3, H, W) of one modality to features (B, D)."""
        return self.testing.embed(self.update.tested, input, modality)

    @torch.no_grad()
    def extract(self, loaders: Sequence[DataLoader]) -> TestFeatures:
        """Features of every image of the loaders, in order; each loader holds one modality, and this process's share of it."""
        distributed.share_buffers(self.update.tested)
        parts: list[Tensor] = []
        items: list[Item] = []
        for loader in loaders:
            dataset: Any = loader.dataset
            items += dataset.data
            modality = items[-1].modality
            features = []
            for data in self._bar(loader, "extracting features"):
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
        settings = distributed.from_first(
            lambda: dataset.score(features, testing.query, dist_metric, testing.sampling, rerank_now)
        )
        results = report.results(
            dataset_name, settings, query=testing.query, feature=testing.feature, distance=dist_metric
        )
        self.features[dataset_name], self.results[dataset_name] = features, results | {"flip": testing.flip}
        logger.info("%s", report.terminal_table(results))
        if visrank and distributed.rank() == 0:
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
        self.checkpoint_path = osp.join(save_dir, "model", f"model.pth.tar-{epoch + 1}")
        if distributed.rank() > 0:
            return
        state = {
            "state_dict": self.update.tested.state_dict(),
            "epoch": epoch + 1,
            "rank1": float(rank1),  # torchreid leaves a numpy scalar, which weights_only refuses
            "mAP": float(mAP),
            "best_mAP": float(self.best_mAP),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else {},
            "update": self.update.state_dict(),
            "about": self.about,
        }
        checkpoint.save(state, self.checkpoint_path)
        logger.info("checkpoint saved to %s", self.checkpoint_path)
        if is_best:
            checkpoint.save(state, osp.join(save_dir, "model", "model-best.pth.tar"))


class _Nowhere:
    """TensorBoard's writer in a process that writes nothing."""

    def add_scalar(self, *args) -> None: ...

    def close(self) -> None: ...


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
        return dict(zip(self.names, distributed.mean(self.values[0] / self.count).tolist(), strict=True))
