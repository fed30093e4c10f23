"""Draws training curves from the event files that a run writes for TensorBoard."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from torchreid_rgbir.visual.figure import as_image, new_figure

Curves = dict[str, dict[int, float]]  # tag -> step -> value
PANEL, LEGEND = 460, 30  # pixels, the heights of a panel and of a line of a method's name
MAX_LABEL = 85  # characters in a line of a method's name


def read_curves(run: str | Path) -> Curves:
    """Reads the scalars of all event files in a run's folder. If a resumed run repeats a step, the later file counts.

    Returns:
        Tag -> step -> value, steps ascending. The step of 'Train/loss' etc. is a batch, of 'Test/DATASET/mAP' etc. an epoch.

    Raises:
        FileNotFoundError: there is no event file, or none of them has a scalar.
    """
    curves: Curves = defaultdict(dict)
    for path in sorted(Path(run).glob("events.out.tfevents.*")):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0})  # 0 reads all of them
        events.Reload()
        for tag in events.Tags()["scalars"]:
            curves[tag] |= {event.step: event.value for event in events.Scalars(tag)}
    if not curves:
        raise FileNotFoundError(
            f"{run} contains no training curves (events.out.tfevents.*): give a checkpoint inside the folder of its run"
        )
    return {tag: dict(sorted(points.items())) for tag, points in curves.items()}


def draw_curves(curves: Curves) -> Image.Image:
    """Draws losses, training accuracy, learning rate and test results, one above the other.

    Returns:
        An image WIDTH pixels wide, and PANEL pixels high for each panel that has a curve.
    """
    starts = {"loss": "Train/loss", "training accuracy": "Train/acc", "learning rate": "Train/lr", "test": "Test/"}
    panels = {title: [tag for tag in curves if tag.startswith(start)] for title, start in starts.items()}
    panels = {title: tags for title, tags in panels.items() if tags}
    figure = new_figure(PANEL * len(panels))
    for axes, (title, tags) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True):
        for tag in tags:
            name = tag.partition("/")[2]
            # A run that is tested only after its last epoch has one point, which a line does not show.
            axes.plot(list(curves[tag]), list(curves[tag].values()), marker="o", markersize=3, label=name)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("epoch" if title == "test" else "batch", fontsize=9)
        axes.tick_params(labelsize=9)
        axes.grid(alpha=0.3)
        if title == "test":
            axes.set_ylim(0, 1)
        if len(tags) > 1:
            axes.legend(fontsize=8)
    return as_image(figure)


def draw_methods(runs: Mapping[str, Sequence[Curves]]) -> Image.Image:
    """Draws the training loss and the test mAP of several methods over the epochs.

    Args:
        runs: Method -> the curves of its runs, one for each seed. A line is their mean, and the shaded area around an mAP
            extends from the smallest to the largest.

    Returns:
        An image WIDTH pixels wide, with one panel for the loss, one for the mAP, and the name of each method below.
    """
    labels = {method: wrap(method, MAX_LABEL) for method in runs}
    figure = new_figure(2 * PANEL + LEGEND * sum(map(len, labels.values())))
    loss, test = figure.subplots(2, sharex=True)
    for method, seeds in runs.items():
        epochs, values = _over_epochs([_mAP(curves) for curves in seeds])
        epochs += 1  # the files count from 0
        [line] = test.plot(epochs, values.mean(axis=0), marker="o", markersize=3, label="\n".join(labels[method]))
        test.fill_between(epochs, values.min(axis=0), values.max(axis=0), alpha=0.15, color=line.get_color())
        batches, losses = _over_epochs([curves["Train/loss"] for curves in seeds])
        loss.plot(batches * epochs.max() / batches.max(), losses.mean(axis=0), color=line.get_color())
    for axes, title in ((loss, "training loss"), (test, "test mAP")):
        axes.set_title(title, fontsize=11)
        axes.tick_params(labelsize=9)
        axes.grid(alpha=0.3)
    test.set_xlabel("epoch", fontsize=9)
    test.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", fontsize=7)
    return as_image(figure)


def _mAP(curves: Curves) -> dict[int, float]:
    return next(points for tag, points in curves.items() if tag.startswith("Test/") and tag.endswith("/mAP"))


def _over_epochs(seeds: Sequence[dict[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """The steps that all seeds have, (n,), and the values there, (seeds, n)."""
    steps = sorted(set.intersection(*(set(points) for points in seeds)))
    return np.array(steps), np.array([[points[step] for step in steps] for points in seeds])
