"""The authors' unmodified code beside ours: where it is, how it is imported, and the comparison of two trainings step by step.

The tests of this folder run only with a folder of checkouts:

    git clone https://github.com/mangye16/Cross-Modal-Re-ID-baseline PEERS/Cross-Modal-Re-ID-baseline
    git clone https://github.com/LuckyDC/RGB-IR-ReID-Baseline PEERS/RGB-IR-ReID-Baseline
    PEERS=PEERS python -m pytest tests/peers -s

`-s` shows the largest differences. MCJA's code needs torchsort, which has to be compiled. The folder may be on PYTHONPATH:

    pip install --no-build-isolation --no-deps --target TORCHSORT torchsort
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from torchreid_rgbir.engine import build_lr_scheduler
from torchreid_rgbir.engine.guard import NonFiniteGuard
from torchreid_rgbir.engine.step import TrainingStep
from torchreid_rgbir.models import Batch
from torchreid_rgbir.runs.build import build_criterion, build_model, build_optimizer

NUM_STEPS = 20
Rename = Callable[[str], str]  # our name of a weight -> theirs


class Peer(NamedTuple):
    """A project: the name of its folder, the commit that our recipe follows, and the top-level modules of its code.

    `subfolder` is the folder of the code within that of the project.
    """

    folder: str
    commit: str
    modules: tuple[str, ...]
    subfolder: str = ""


AGW = Peer(
    "Cross-Modal-Re-ID-baseline",
    "e817a2672c1e14e8802617acb980a79520ef9545",
    ("ChannelAug", "data_loader", "data_manager", "eval_metrics", "loss", "model", "resnet", "utils"),
)
CAJ = AGW._replace(subfolder="ICCV21_CAJ")
LUCKYDC = Peer(
    "RGB-IR-ReID-Baseline",
    "49801f853f059d909f70d3530a2b708d6902ba1d",
    ("configs", "data", "engine", "layers", "losses", "models", "utils"),
)
MCJA = Peer(
    "MCJA", "efc1ffe9f1cb2c4f76a463bf708150626555b295", ("configs", "data", "engine", "losses", "models", "utils")
)


def checkout(peer: Peer) -> Path:
    """The folder of a project's code. Skips the test without it, and fails at a different commit or with changes."""
    if not os.environ.get("PEERS"):
        pytest.skip("set PEERS to a folder with the checkouts of the projects")
    folder = Path(os.environ["PEERS"]).expanduser().absolute() / peer.folder
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    found = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    if found.stdout.strip() != peer.commit:
        pytest.fail(f"{folder} is at commit {found.stdout.strip()}: check out {peer.commit}", pytrace=False)
    if subprocess.run(["git", "-C", folder, "diff", "--quiet", "HEAD"]).returncode:
        pytest.fail(f"{folder} has changed files: check out {peer.commit} again", pytrace=False)
    return folder


@contextmanager
def imported(peer: Peer) -> Iterator[None]:
    """Makes the project's modules importable. They are forgotten at the end, because projects use the same names."""
    folder = str(checkout(peer) / peer.subfolder)
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in peer.modules}
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        for name in [name for name in sys.modules if name.split(".")[0] in peer.modules]:
            del sys.modules[name]
        sys.modules.update(before)


class Ours:
    """Our model of a recipe with our training step, in double precision.

    Attributes:
        features: of the last step, after batch normalization.
        gradients: of the last step, by the parameter's name.
    """

    def __init__(self, cfg: CfgNode, num_classes: int):
        self.model = build_model(cfg, num_classes, pretrained=False).double().train()
        self.optimizer = build_optimizer(cfg, self.model)
        train = cfg.train
        steps = (train.stepsize, train.gamma, train.max_epoch, train.warmup_epoch, train.warmup_start)
        self.schedule = build_lr_scheduler(self.optimizer, train.lr_scheduler, *steps)
        guard = NonFiniteGuard(self.model, self.optimizer)
        self.step = TrainingStep(self.model, build_criterion(cfg, self.model), guard, torch.device("cpu"))
        self.gradients: dict[str, Tensor] = {}
        self.features = torch.empty(0)
        self.optimizer.register_step_pre_hook(lambda *_: self._keep_gradients())
        self.model.register_forward_hook(lambda _, __, outputs: setattr(self, "features", outputs.features.detach()))

    def _keep_gradients(self) -> None:
        self.gradients = {name: gradient.clone() for name, gradient in gradients(self.model).items()}

    def load(self, theirs: nn.Module, their_name: Rename) -> None:
        """Gives our model the weights of theirs."""
        state = theirs.state_dict()
        self.model.load_state_dict({name: state[their_name(name)] for name in self.model.state_dict()})

    def __call__(self, images: Tensor, pids: Tensor, num_rgb: int) -> dict[str, Tensor]:
        """images: (B, 3, H, W), normalized, RGB first; pids: (B,).  Takes a step and returns the losses."""
        batch = Batch(images, pids, num_rgb, len(pids.unique()), is_balanced=False)
        return self.step(images, batch, 0, 1, [])[0]


def batches(num_classes: int, counts: Sequence[tuple[int, int]], size: tuple[int, int] = (48, 24)):
    """Yields `NUM_STEPS` random batches, as our code has them: RGB images first.

    Images of an identity resemble each other, so that losses fall and no loss is at its limit.

    Args:
        num_classes: of which each batch has some.
        counts: how many RGB and IR images the batch has of each identity.
        size: height and width.

    Yields:
        Normalized images (B, 3, H, W) in double precision, and identities (B,).
    """
    generator = torch.Generator().manual_seed(0)
    faces = torch.randn(num_classes, 3, *size, generator=generator, dtype=torch.float64)
    for _ in range(NUM_STEPS):
        chosen = torch.randperm(num_classes, generator=generator)[: len(counts)]
        pids = torch.cat([chosen.repeat_interleave(torch.tensor(column)) for column in zip(*counts, strict=True)])
        noise = torch.randn(len(pids), 3, *size, generator=generator, dtype=torch.float64)
        yield faces[pids] + noise, pids


class Differences:
    """Collects the largest differences of two trainings over all steps."""

    def __init__(self) -> None:
        self.largest: dict[str, float] = {}

    def add(self, name: str, ours: Tensor, theirs: Tensor | float, relative: bool = True) -> None:
        """Relative differences are relative to the largest value of theirs."""
        theirs = torch.as_tensor(theirs, dtype=torch.float64)
        difference = (ours - theirs).abs().max().item()
        if relative and difference:
            difference /= theirs.abs().max().item()
        self.largest[name] = max(self.largest.get(name, 0.0), difference)

    def show(self, title: str) -> None:
        figures = ", ".join(f"{name} {value:.1e}" for name, value in self.largest.items())
        print(f"\n{title}, largest differences over {NUM_STEPS} steps: {figures}", flush=True)

    def check(self, weights: float = 1e-8, others: float = 1e-9) -> None:
        assert len(self.largest) > 4
        for name, value in self.largest.items():
            assert value < (weights if name == "weights" else others), name


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradients of a model, by the names of its parameters."""
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def compare_weights(differences: Differences, ours: nn.Module, theirs: nn.Module, their_name: Rename) -> None:
    """Adds the absolute difference of the weights, and the relative one of the running statistics."""
    state = theirs.state_dict()
    for name, value in ours.state_dict().items():
        if "running" in name:
            differences.add("statistics", value, state[their_name(name)])
        elif value.is_floating_point():
            differences.add("weights", value, state[their_name(name)], relative=False)


def compare_gradients(differences: Differences, ours: Ours, theirs: nn.Module, their_name: Rename) -> None:
    """Adds the difference of all gradients, relative to the largest of them."""
    found = gradients(theirs)
    renamed = {their_name(name): gradient for name, gradient in ours.gradients.items()}
    assert renamed.keys() == found.keys()
    largest, differ = (
        torch.stack([value.abs().max() for value in values]).max()
        for values in (found.values(), (renamed[name] - found[name] for name in found))
    )
    differences.add("gradients", largest + differ, largest)


@torch.no_grad()
def make_trained_like(net: nn.Module) -> None:
    """Gives the network weights as after training: residual branches add little, and inserted blocks do something.

    With initial weights the smallest difference of rounding grows about fivefold at each step, in the authors' code, too.
    """
    generator = torch.Generator().manual_seed(1)
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            low, high = (0.05, 0.3) if name.endswith(("bn3", "norm_bn")) else (0.5, 1.0)
            nn.init.uniform_(module.weight, low, high, generator=generator)
            nn.init.uniform_(module.bias, -0.1, 0.1, generator=generator)
