"""torchreid's engine with exact checkpoints, also within an epoch. SIGTERM and Ctrl-C end a run gracefully."""

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
from torchreid_rgbir.engine.monitor import RunningMeans
from torchreid_rgbir.engine.stop import Stop, Stopped
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.files.checkpoint_folder import CheckpointFolder

logger = logging.getLogger(__name__)

# torch's names and our configuration keys. A resumed optimizer keeps these values of the checkpoint.
OPTIMIZER_KEYS = {"initial_lr": "train.lr", "weight_decay": "train.weight_decay", "momentum": "sgd.momentum"}
REQUIRED_KEYS = ("state_dict", "optimizer", "scheduler", "epoch")  # torchreid's own checkpoints have these


class ResumableEngine(host.SoftmaxTripletEngine):
    """Runs epochs and tests. A subclass defines both, in `train` and `_evaluate`.

    Args:
        datamanager, model, optimizer, scheduler, use_gpu: torchreid's. The model is on the device already.
        target_loss: training ends after an epoch whose mean loss is not above this value. 0 disables it.
        checkpoint_freq: the number of epochs between two checkpoints. Each test is followed by one, too.
        keep_checkpoints: the number of newest checkpoints to keep, besides the best one.
        max_skipped: the number of batches that are not finite and may be skipped. One more ends the run.
        metadata: written into checkpoints, so that a checkpoint alone is enough to use the model.

    Attributes:
        epoch, batches_done: the position of the run: epochs done, and batches done in the present epoch.
        means: of the losses of the present epoch.
        results: data set -> what results.json contains, from its last test.
        checkpoint_path: the checkpoint that was written last.
        seconds: the time that the run has taken, including the parts before it was resumed.
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
        metadata: dict[str, Any] | None = None,
    ):
        options: dict[str, Any] = {"scheduler": scheduler, "use_gpu": use_gpu, "label_smooth": False}
        super().__init__(datamanager, model, optimizer, weight_x=1, **options)
        self.target_loss = target_loss
        self.checkpoint_freq = checkpoint_freq
        self.keep_checkpoints = keep_checkpoints
        self.metadata = metadata or {}
        self.guard = NonFiniteGuard(model, optimizer, max_skipped)
        self.stop = Stop()
        self.num_batches = self.steps_per_epoch = len(self.train_loader)
        self.batches_done = 0
        self.means = RunningMeans()
        self.losses: dict[str, float] = {}  # means of the last complete epoch
        self.results: dict[str, dict] = {}
        self.best_mAP = -1.0
        self.resumed = False
        self.saved: tuple[int, int] | None = None  # epoch and batch of the last checkpoint
        self.checkpoint_path = ""
        self.seconds = 0.0

    @property
    def eval_model(self) -> Any:
        """The model whose weights are tested and saved."""
        return self.model

    @property
    def stateful(self) -> dict[str, Any]:
        """Everything that has a state besides the model, by its name in a checkpoint."""
        stateful = {"optimizer": self.optimizer, "scheduler": self.scheduler, "means": self.means, "guard": self.guard}
        return {name: part for name, part in stateful.items() if part is not None}

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
        """torchreid's `run`, which also resumes within an epoch, and ends at a target loss or after a signal.

        Args:
            start_epoch: the number of epochs done. After `resume`, the checkpoint's number is used instead.
            **testing: torchreid's other arguments. They are passed to `test`.

        Raises:
            SystemExit, KeyboardInterrupt: the run was ended by SIGTERM or SIGINT, after it wrote a checkpoint.
            ValueError, OSError: a loss is not finite, an image cannot be read, the disk is full, or a worker died.
        """
        if testing.get("visrank") and not test_only:
            raise ValueError(
                "test.visrank draws ranked results of a trained model: set test.evaluate True and model.load_weights"
            )
        testing["save_dir"] = save_dir
        if test_only:
            with worker_errors():
                self.test(**testing)
            return
        self.max_epoch = max_epoch
        if not self.resumed:
            self.epoch = start_epoch
        self.checkpoints = CheckpointFolder(Path(save_dir, "model"), self.keep_checkpoints)
        first_step = self.epoch * self.steps_per_epoch + self.batches_done
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
                    rank1 = self._test(testing) if is_due or done == self.max_epoch else None
                    self.update_lr()
                    self.means = RunningMeans()
                    if rank1 is not None or done % self.checkpoint_freq == 0:
                        self.save_model(self.epoch, rank1, save_dir)
                    self.epoch, self.batches_done = done, 0
            except Stopped:
                if self.saved != (self.epoch, self.batches_done):
                    self.save_model(self.epoch - 1, None, save_dir, batch=self.batches_done)
                logger.warning("%s: continue with model.resume %s", self.stop, self.checkpoint_path)
                self.stop.end()
            finally:
                self.seconds = time.monotonic() - self.started

    def is_target(self, losses: dict[str, float]) -> bool:
        """Whether an epoch's mean loss ends the training (claim 9)."""
        return self.target_loss > 0 and losses.get("loss", float("inf")) <= self.target_loss

    def save_model(self, epoch: int, rank1: float | None, save_dir: str, is_best: bool = False, batch: int = 0) -> None:
        """Writes `model/model.pth.tar-EPOCH`, and `model/model-best.pth.tar` if the last test's mAP is the best so far.

        Args:
            epoch: the last complete one, from 0.
            rank1: Rank-1 of the test after it. None if there was no test.
            save_dir: the run's folder.
            is_best: write the best checkpoint even if its mAP is not the best.
            batch: the number of batches of the next epoch that are done.

        Raises:
            ValueError: a batch since the last check was not finite.
            OSError: the checkpoint cannot be written.
        """
        self.guard.check(self.epoch)
        state = {
            "state_dict": self.eval_model.state_dict(),
            "epoch": epoch + 1,
            "batch": batch,
            **{name: part.state_dict() for name, part in self.stateful.items()},
            "random": random_state.state_dict(),
            "losses": self.losses,
            "seconds": time.monotonic() - self.started,
            "about": self.metadata,
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

    def resume(self, path: str, state: dict[str, Any] | None = None) -> None:
        """Loads everything that a checkpoint contains. Checkpoints of torchreid's own engines contain less.

        Args:
            path: of the checkpoint.
            state: the contents of the file, if it was read already.

        Raises:
            FileNotFoundError, ValueError: the file is not a checkpoint, or does not belong to this run.
        """
        state = checkpoint.load(path) if state is None else state
        if missing := [key for key in REQUIRED_KEYS if key not in state]:
            raise ValueError(
                f"{path} has no {missing[0]}: model.resume needs a checkpoint of a run, use model.load_weights instead"
            )
        self._check_optimizer(path, state["optimizer"]["param_groups"])
        try:
            self.model.load_state_dict(state["state_dict"])
            for group, own in zip(state["optimizer"]["param_groups"], self.optimizer.param_groups, strict=True):
                group["fused"] = own.get("fused")  # False in torchreid's checkpoints; the result is the same
            for name, part in self.stateful.items():
                if name in state:
                    part.load_state_dict(state[name])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise ValueError(
                f"{path} belongs to a different run ({reason}): resume with the config.yaml of that run"
            ) from None
        self.optimizer._opt_called = True  # otherwise torch warns that the schedule runs ahead of the optimizer
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
            for name, key in OPTIMIZER_KEYS.items():
                if name in group and name in own and group[name] != own[name]:
                    raise ValueError(
                        f"{path} was trained with {key} {group[name]}, and the optimizer cannot be resumed with a "
                        f"different value: keep {group[name]}, or start a new run in a new data.save_dir with "
                        f"model.load_weights {path}"
                    )

    def _test_again(self, testing: dict[str, Any]) -> None:
        """Tests once more, for a run that ended between its last checkpoint and its results."""
        self.max_epoch = self.epoch
        self.epoch -= 1
        self.saved = (self.epoch, self.batches_done)  # nothing new to save
        self._test(testing)
        self.epoch += 1

    def _test(self, testing: dict[str, Any]) -> float:
        with self.stop.immediately():
            return self.test(**testing)
