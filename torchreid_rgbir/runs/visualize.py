"""Draws all figures of a trained model, as files or on one HTML page."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from yacs.config import CfgNode

from torchreid_rgbir import host
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.files.download import fetch
from torchreid_rgbir.losses.vgg import MIN_SIZE, VGGStages
from torchreid_rgbir.metrics import report as tables
from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.models import TwoStreamNetwork
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.protocols.ranked_lists import ranked_lists
from torchreid_rgbir.runs.build import build_engine, build_model
from torchreid_rgbir.runs.options import configuration, configuration_of_run
from torchreid_rgbir.terminal import progress
from torchreid_rgbir.visual import page
from torchreid_rgbir.visual.activation import draw_activations
from torchreid_rgbir.visual.curves import draw_curves, read_curves
from torchreid_rgbir.visual.embedding import draw_embedding
from torchreid_rgbir.visual.grid import save_picture
from torchreid_rgbir.visual.ranked import draw_ranked
from torchreid_rgbir.visual.samples import choose_samples, read_samples
from torchreid_rgbir.visual.separation import draw_separation, pair_distances
from torchreid_rgbir.visual.stages import draw_stages

OF_TEST_SET = ("ranked", "embedding", "separation")  # figures that need the features of the test set
OF_IMAGES = ("stages", "activation")  # figures of single images
KINDS = (*OF_TEST_SET, *OF_IMAGES, "curves")


def visualize(
    weights: str | Path,
    out: str | Path,
    root: str = "",
    only: Sequence[str] = (),
    images: dict[int, Sequence[str]] | None = None,
    report: bool = False,
    untrained: bool = False,
) -> list[Path]:
    """Draws the figures in `KINDS`, each as OUT/KIND.png.

    Args:
        weights: a checkpoint that `train` wrote. Training curves are read from the folder of its run.
        out: folder to write to. It is made if it is missing.
        root: folder of the data, if it has moved since the training. The first test set of the run is shown.
        only: some of `KINDS`. Empty selects all, but stages only if the model was trained with the perceptual edge loss.
        images: modality -> files for stages and activation. None selects some images of the test set.
        report: write OUT/report.html instead, one page with all figures.
        untrained: the figure stages also shows the network as it was before training.

    Returns:
        The files written.

    Raises:
        ValueError, FileNotFoundError, NotADirectoryError: an argument is wrong. Nothing was written.
    """
    _check(only, images, report)
    if Path(out).expanduser().is_file():
        raise NotADirectoryError(f"{out} is a file: choose a folder")
    run = Path(weights).expanduser().absolute().parent.parent
    model, about = load_model(weights)
    cfg = configuration(about, weights, root)
    small = min(about["images"]["height"], about["images"]["width"])
    kinds = tuple(dict.fromkeys(only))
    if not kinds:
        # Do not download VGG's weights for a model that was trained without them.
        uses_edges = cfg.loss.name == "mso" and cfg.loss.mso.weight_pef > 0 and small >= MIN_SIZE
        kinds = tuple(kind for kind in KINDS if kind != "stages" or uses_edges or untrained)
    if "stages" in kinds and small < MIN_SIZE:
        raise ValueError(
            f"stages needs images of at least {MIN_SIZE} pixels for VGG, but they are {small} pixels: remove it from --only"
        )
    if untrained and "stages" not in kinds:
        raise ValueError("--untrained changes only the figure stages: add stages to --only, or omit --untrained")
    curves = read_curves(run) if "curves" in kinds else {}
    vgg: Any = VGGStages(**cfg.loss.pef) if "stages" in kinds else None
    stages = {"before": before_training(about), "after": model} if untrained else {"Layer0": model}
    groups = [read_samples(impaths, modality, about["images"]) for modality, impaths in (images or {}).items()]

    lacks_images = set(kinds) & set(OF_IMAGES) and not groups
    if lacks_images or set(kinds) & set(OF_TEST_SET):
        engine, dataset = scored(cfg)
        features = engine.features[dataset].without_junk()
        ignored = engine.test_loader[dataset]["query"].dataset.protocol.ignored
    if lacks_images:
        chosen = choose_samples(features)
        groups = [read_samples(chosen[modality], modality, about["images"]) for modality in (RGB, IR)]

    distance, query = cfg.test.dist_metric, cfg.test.query

    def lists(**options: int) -> list:
        return ranked_lists(features, query, ignored, distance, cfg.test.visrank_topk, **options)

    draw: dict[str, Callable[[], Image.Image]] = {
        "ranked": lambda: draw_ranked(lists(), f"{dataset}, {query} queries"),
        "embedding": lambda: draw_embedding(features, distance),
        "separation": lambda: draw_separation(pair_distances(features, distance), distance),
        "stages": lambda: draw_stages(stages, groups, vgg),
        "activation": lambda: draw_activations(model, groups),
        "curves": lambda: draw_curves(curves),
    }
    if report:  # which has lists of its own
        del draw["ranked"]
    figures = {kind: draw[kind]() for kind in progress(kinds, "drawing", unit="figure") if kind in draw}
    if report:
        # The lists of all queries are needed to count the correct and incorrect ones.
        every = [ranked for ranked in lists(num_queries=len(features)) if ranked[1]]  # without empty ones
        path = Path(out).expanduser() / "report.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        tables.write_text(path, page.render(engine.results[dataset], every, figures, run.name, str(weights), about))
        return [path]
    paths = [Path(out).expanduser() / f"{kind}.png" for kind in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        save_picture(figure, path)
    return paths


def before_training(about: dict) -> TwoStreamNetwork:
    """Returns a checkpoint's network as it was before training, in evaluation mode.

    It is initialized with the run's seed, or with the weights that the run started from.

    Raises:
        ValueError, FileNotFoundError: the weights are no longer available, or a custom loss is not registered.
    """
    cfg = configuration_of_run(about)
    start = cfg.model.load_weights
    host.utils.set_random_seed(cfg.train.seed)
    model: Any = build_model(cfg, about["model"]["num_classes"], pretrained=not start)
    if start:
        checkpoint.load_weights(model, fetch(start), cfg.model.allow_partial)
    return model.eval()


def scored(cfg: CfgNode) -> tuple[CrossModalEngine, str]:
    """Tests a run. Returns the engine with features and results, and the name of its first test set."""
    engine = build_engine(cfg)
    engine.test(dist_metric=cfg.test.dist_metric, normalize_feature=cfg.test.normalize_feature)
    return engine, next(iter(engine.features))


def _check(only: Sequence[str], images: dict[int, Sequence[str]] | None, report: bool) -> None:
    unknown = [kind for kind in only if kind not in KINDS]
    if unknown:
        raise ValueError(f"figure {unknown[0]!r} is unknown: choose from {', '.join(KINDS)}")
    if report and only:
        raise ValueError("the report always shows everything: omit --only")
    if images and not set(only or KINDS) & set(OF_IMAGES):
        name = NAMES[next(iter(images))]
        raise ValueError(f"--{name} gives images for the figures {' and '.join(OF_IMAGES)}: add one of them to --only")
