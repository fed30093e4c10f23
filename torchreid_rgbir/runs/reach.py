"""Where the losses of a run pull: the size of each loss's gradient in Layer0 and in the shared layers, and how far both moved."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from torchreid_rgbir import host
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.engine.step import prepare
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.runs.build import build_engine

PARTS = ("Layer0", "shared layers")


def gradient_norms(engine: CrossModalEngine, num_batches: int = 4) -> dict[str, dict[str, float]]:
    """The L2 norm of each loss's gradient, unweighted, before an update.

    Args:
        engine: of `build_engine`, with loss.name mso. Its model is not changed, except for the running statistics.
        num_batches: The first training batches. Their norms are averaged.

    Returns:
        Loss ("wrt") -> part of the network, one of `PARTS` -> norm. A loss that does not reach a part has 0 there.
    """
    parts = split(engine.model)
    found: dict[str, dict[str, list[float]]] = {}
    engine.set_model_mode("train")
    engine.datamanager.sampler.set_epoch(0, 0)
    for number, data in enumerate(islice(engine.train_loader, num_batches)):
        batch, inputs = prepare(engine.datamanager, data, engine.device, 0, number)
        losses = engine.step.criterion(engine.model(inputs, batch.num_rgb), batch)
        for name, loss in ((name, loss) for name, loss in losses.items() if name != "loss"):
            weights = [weight for part in parts.values() for weight in part]
            gradients = dict(
                zip(weights, torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True), strict=True)
            )
            for part, own in parts.items():
                norm = norm_of([gradients[weight] for weight in own if gradients[weight] is not None])
                found.setdefault(name.removeprefix("loss_"), {}).setdefault(part, []).append(norm)
    return {name: {part: float(np.mean(norms)) for part, norms in by_part.items()} for name, by_part in found.items()}


def movement(before: torch.nn.Module, after: torch.nn.Module) -> dict[str, float]:
    """How far training moved a network: the L2 norm of the change of its weights, divided by that of the first weights.

    Args:
        before, after: The same network. The running statistics and the classifier do not count.

    Returns:
        Part of the network, one of `PARTS` -> change.
    """
    first, last = split(before), split(after)
    return {
        part: norm_of([new - old for old, new in zip(first[part], last[part], strict=True)]) / norm_of(first[part])
        for part in PARTS
    }


def split(model: torch.nn.Module) -> dict[str, list[Tensor]]:
    """The weights of Layer0 (of both modalities) and of the shared layers without the classifier."""
    named = list(model.named_parameters())
    layer0: list[Tensor] = [weight for name, weight in named if name.startswith("layer0.")]
    shared: list[Tensor] = [
        weight for name, weight in named if weight.requires_grad and not name.startswith(("layer0.", "classifier."))
    ]
    return dict(zip(PARTS, (layer0, shared), strict=True))


def norm_of(tensors: Sequence[Tensor]) -> float:
    return float(sum(tensor.detach().square().sum() for tensor in tensors)) ** 0.5


def reach(cfg: CfgNode, weights: str | Path) -> tuple[list[dict[str, dict[str, float]]], dict[str, float]]:
    """Measures a finished run.

    Args:
        cfg: Its configuration.
        weights: Its last checkpoint.

    Returns:
        `gradient_norms` before and after training, and the `movement`.
    """
    engines = []
    for _ in range(2):
        host.utils.set_random_seed(cfg.train.seed)
        engines.append(build_engine(cfg))
    before, after = engines
    checkpoint.load_weights(after.model, weights)
    moved = movement(before.model, after.model)
    return [gradient_norms(engine) for engine in engines], moved


def tables(runs: Mapping[str, Sequence[tuple[CfgNode, Path]]]) -> str:
    """Measures the runs of several methods.

    Args:
        runs: Method -> (configuration, last checkpoint) of each seed.

    Returns:
        Two tables as Markdown: the gradients of the losses, in the first run of the method with the most losses; and the
        movement of each method, averaged over its seeds.
    """
    found = {method: [reach(*run) for run in own] for method, own in runs.items()}
    (before, after), _ = max((own[0] for own in found.values()), key=lambda one: len(one[0][0]))
    lines = ["| loss | " + " | ".join(f"{part}, {when}" for part in PARTS for when in ("start", "end")) + " |"]
    lines.append("| :-- |" + " --: |" * 4)
    for loss in before:
        cells = [f"{norms[loss][part]:.3g}" for part in PARTS for norms in (before, after)]
        lines.append(f"| {loss} | {' | '.join(cells)} |")
    lines += ["", f"| method | {' | '.join(f'{part} moved by' for part in PARTS)} |", "| :-- | --: | --: |"]
    for method, own in found.items():
        means = [np.mean([moved[part] for _, moved in own]) for part in PARTS]
        lines.append(f"| {method} | {' | '.join(f'{100 * mean:.2f} %' for mean in means)} |")
    return "\n".join(lines) + "\n"
