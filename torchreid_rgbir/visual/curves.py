"""Draws training curves from the event files that a run writes for TensorBoard."""

from collections import defaultdict
from pathlib import Path

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from torchreid_rgbir.visual.figure import as_image, new_figure

Curves = dict[str, dict[int, float]]  # tag -> step -> value
PANEL = 460  # pixels, height of a panel


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
