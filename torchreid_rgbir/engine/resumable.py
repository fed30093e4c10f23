"""torchreid's engine with a run that is never lost: exact checkpoints, also in the middle of an epoch, and an answer to signals."""

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.tensorboard import SummaryWriter

from torchreid_rgbir import distributed, host
from torchreid_rgbir.data.loading import worker_errors
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine import random_state
from torchreid_rgbir.engine.guard import NonFiniteGuard
from torchreid_rgbir.engine.means import RunningMeans
from torchreid_rgbir.engine.stop import Stop, Stopped
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.files.checkpoint_folder import CheckpointFolder

logger = logging.getLogger(__name__)

# What torch calls them, and we; they stand in the checkpoint, so that a new value would be said but not used.
OF_THE_OPTIMIZER = {"initial_lr": "train.lr", "weight_decay": "train.weight_decay", "momentum": "sgd.momentum"}
NEEDED = ("state_dict", "optimizer", "scheduler", "epoch")  # torchreid's own checkpoints have these


class ResumableEngine(host.SoftmaxTripletEngine):
    """Runs epochs and tests; a subclass says what those are, in `train` and `_evaluate`.

    Args:
        datamanager, model, optimizer, scheduler, use_gpu: torchreid's; the model is on the device already.
        target_loss: training ends after an epoch whose mean loss is at or under it; 0 = never.
        checkpoint_freq: a checkpoint every so many epochs, and after each test.
        keep_checkpoints: so many of the newest, besides the best.
        max_skipped: batches that are not finite and are left out; one more ends the run.
        about: written into checkpoints, so that a checkpoint alone tells how to use the model.

    Attributes:
        epoch, batches_done: where the run is: epochs done, and batches of the one under way.
        means: of the losses of the epoch under way.
        results: data set -> what results.json holds, of its last test.
        checkpoint_path: the last one written.
        seconds: that the run has taken, in all its processes.
    """

    def __init__(
        self,
        datamanager: CrossModalDataManager,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler | None = None,
        use_gpu: bool = True,
        target_loss: float = 0.0,
        checkpoint_freq: int = 1,
        keep_checkpoints: int = 2,
        max_skipped: int = 0,
        about: dict[str, Any] | None = None,
    ):
        super().__init__(
            datamanager, model, optimizer, weight_x=1, scheduler=scheduler, use_gpu=use_gpu, label_smooth=False
        )
        self.target_loss = target_loss
        self.checkpoint_freq = checkpoint_freq
        self.keep_checkpoints = keep_checkpoints
        self.about = about or {}
        self.guard = NonFiniteGuard(model, optimizer, max_skipped)
        self.stop = Stop()
        self.batches_done = 0
        self.means = RunningMeans()
        self.losses: dict[str, float] = {}  # means of the last whole epoch
        self.results: dict[str, dict] = {}
        self.best_mAP = -1.0
        self.resumed = False
        self.saved: tuple[int, int] | None = None  # epoch and batch of the last checkpoint
        self.checkpoint_path = ""
        self.seconds = 0.0

    @property
    def tested(self) -> nn.Module:
        """The model whose weights are tested and saved."""
        return self.model

    @property
    def parts(self) -> dict[str, Any]:
        """Whatever has a state besides the model, by its name in a checkpoint."""
        parts = {"optimizer": self.optimizer, "scheduler": self.scheduler, "means": self.means, "guard": self.guard}
        return {name: part for name, part in parts.items() if part is not None}

    def run(
        self,
        save_dir: str = "log",
        max_epoch: int = 0,
        start_epoch: int = 0,
        print_freq: int = 10,
        fixbase_epoch: int = 0,
        open_layers: Sequence[str] | None = None,
        start_eval: int = 0,
        eval_freq: int = -1,
        test_only: bool = False,
        **testing: Any,
    ) -> None:
        """torchreid's `run`, which can also go on in the middle of an epoch, end at the target loss, and be stopped by SIGTERM and SIGINT.

        Args:
            start_epoch: epochs done; after `resume` the checkpoint decides.
            **testing: torchreid's other arguments, those of its `test`.

        Raises:
            SystemExit, KeyboardInterrupt: after SIGTERM, SIGINT; a checkpoint of that moment was written.
            ValueError, OSError: a loss that is not finite, an image that cannot be read, a full disk, a worker that died.
        """
        if testing.get("visrank") and not test_only:
            raise ValueError(
                "test.visrank draws pictures of a trained model: set test.evaluate True and model.load_weights"
            )
        testing["save_dir"] = save_dir
        if test_only:
            with worker_errors():
                self.test(**testing)
            return
        self.max_epoch, self.num_batches = max_epoch, len(self.train_loader)
        if not self.resumed:
            self.epoch = start_epoch
        self.checkpoints = CheckpointFolder(Path(save_dir, "model"), self.keep_checkpoints)
        first_step = self.epoch * self.num_batches + self.batches_done
        self.writer = SummaryWriter(save_dir, purge_step=first_step) if distributed.rank() == 0 else None
        self.started = time.monotonic() - self.seconds
        with self.writer or nullcontext(), worker_errors(), self.stop:
            try:
                if self.epoch >= max_epoch or (self.batches_done == 0 and self.is_target(self.losses)):
                    self._test_again(testing)
                while self.epoch < self.max_epoch:
                    self.stop.check()
                    self.losses = self.train(print_freq, fixbase_epoch, open_layers)
                    done = self.epoch + 1
                    if self.is_target(self.losses):
                        self.max_epoch = done
                    is_due = eval_freq > 0 and done >= start_eval and done % eval_freq == 0
                    rank1 = None
                    if is_due or done == self.max_epoch:
                        with self.stop.at_once():
                            rank1 = self.test(**testing)
                    self.update_lr()
                    self.means = RunningMeans()
                    if rank1 is not None or done % self.checkpoint_freq == 0:
                        self.save_model(self.epoch, rank1, save_dir)
                    self.epoch, self.batches_done = done, 0
            except Stopped:
                if self.saved != (self.epoch, self.batches_done):
                    self.save_model(self.epoch - 1, None, save_dir, batch=self.batches_done)
                logger.warning("%s: go on with model.resume %s", self.stop, self.checkpoint_path)
                self.stop.end()
            finally:
                self.seconds = time.monotonic() - self.started

    def is_target(self, losses: dict[str, float]) -> bool:
        """Whether an epoch's mean loss ends the training (claim 9)."""
        return self.target_loss > 0 and losses.get("loss", float("inf")) <= self.target_loss

    def save_model(self, epoch: int, rank1: float | None, save_dir: str, is_best: bool = False, batch: int = 0) -> None:
        """Writes `model/model.pth.tar-EPOCH`, and `model/model-best.pth.tar` when the last test's mAP is the best so far.

        Args:
            epoch: the last whole one, from 0.
            rank1: of the test after it, None where there was none.
            save_dir: the run's folder.
            is_best: whatever the mAP is.
            batch: batches of the next epoch that are done.

        Raises:
            ValueError: a batch since the last look was not finite.
            OSError: it cannot be written.
        """
        self.guard.check(self.epoch)
        state = {
            "state_dict": self.tested.state_dict(),
            "epoch": epoch + 1,
            "batch": batch,
            **{name: part.state_dict() for name, part in self.parts.items()},
            "random": random_state.state_dict(),
            "losses": self.losses,
            "seconds": time.monotonic() - self.started,
            "about": self.about,
        }
        if rank1 is not None:
            mean = next(iter(self.results.values()))["settings"][0]["mean"]  # of the first test set
            rank1, mAP = mean["rank1"], mean["mAP"]
            is_best = is_best or mAP > self.best_mAP
            self.best_mAP = max(mAP, self.best_mAP)
            state |= {"rank1": float(rank1), "mAP": float(mAP)}  # weights_only refuses numpy's scalars
        state |= {"scheduler": state.get("scheduler", {}), "best_mAP": float(self.best_mAP)}
        self.saved = (epoch + 1, batch)
        if distributed.rank() > 0:
            return
        self.checkpoint_path = str(self.checkpoints.save(state, is_best))
        logger.info("checkpoint saved to %s", self.checkpoint_path)

    def resume(self, path: str) -> None:
        """Continues from a checkpoint, with everything that it holds; one of torchreid's own engines holds less.

        Raises:
            FileNotFoundError, ValueError: no checkpoint, or one that does not fit this run.
        """
        state = checkpoint.load(path)
        lacking = [key for key in NEEDED if key not in state]
        if lacking:
            raise ValueError(
                f"{path} holds no {lacking[0]}: model.resume wants a checkpoint of a run, use model.load_weights"
            )
        self._check_optimizer(path, state["optimizer"]["param_groups"])
        try:
            self.model.load_state_dict(state["state_dict"])
            for group, own in zip(state["optimizer"]["param_groups"], self.optimizer.param_groups, strict=True):
                group["fused"] = own.get("fused")  # how, not what: torchreid's checkpoints have it off
            for name, part in self.parts.items():
                if name in state:
                    part.load_state_dict(state[name])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is of another run ({str(error).splitlines()[-1].strip()}): resume with its config.yaml"
            ) from None
        self.optimizer._opt_called = (
            True  # steps were taken; else torch would warn of a schedule that runs ahead of them
        )
        if "random" in state:
            random_state.load_state_dict(state["random"])
        self.epoch, self.batches_done = state["epoch"], state.get("batch", 0)
        self.saved, self.resumed, self.checkpoint_path = (self.epoch, self.batches_done), True, path
        self.best_mAP, self.losses = state.get("best_mAP", -1.0), state.get("losses", {})
        self.seconds = state.get("seconds", 0.0)
        place = f"epoch {self.epoch}" + (f" and {self.batches_done} batches" if self.batches_done else "")
        logger.info("resumed from %s after %s", path, place)

    def _check_optimizer(self, path: str, groups: Sequence[dict[str, Any]]) -> None:
        for group, own in zip(groups, self.optimizer.param_groups, strict=False):
            for name, key in OF_THE_OPTIMIZER.items():
                if name in group and name in own and group[name] != own[name]:
                    raise ValueError(
                        f"{path} was trained with {key} {group[name]}, and resuming keeps its optimizer as it was: leave it "
                        f"at that, or begin another run, in a new data.save_dir, with model.load_weights {path}"
                    )

    def _test_again(self, testing: dict[str, Any]) -> None:
        """For a process that ended between its last checkpoint and its results."""
        self.max_epoch = self.epoch
        self.epoch -= 1
        self.saved = (self.epoch, self.batches_done)  # nothing to save in it
        with self.stop.at_once():
            self.test(**testing)
        self.epoch += 1
