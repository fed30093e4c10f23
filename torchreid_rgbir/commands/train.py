"""Train a model on RGB-IR images, then test it. All flags of torchreid's scripts/main.py are accepted."""

import argparse
import logging
import os
import sys

from torchreid_rgbir import terminal
from torchreid_rgbir.commands.arguments import add_import_argument
from torchreid_rgbir.commands.doctor import LAYOUTS

logger = logging.getLogger(__name__)

EXAMPLE = "torchreid-rgbir train --config-file mso_plus_sysu --root reid-data data.save_dir log/mso"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--config-file",
        default="",
        metavar="FILE",
        help="a YAML file, or the name of a built-in configuration, such as mso_plus_sysu (all names: docs/recipes.md)",
    )
    add(
        "-s",
        "--sources",
        nargs="+",
        metavar="NAME",
        help=f"training data sets: {', '.join(LAYOUTS)}, or one that --import registers",
    )
    add("-t", "--targets", nargs="+", metavar="NAME", help="test data sets (default: the training data sets)")
    add(
        "--transforms",
        nargs="+",
        metavar="NAME",
        help="augmentations, such as pad_crop random_flip channel_augment; they replace those of the configuration",
    )
    add("--root", default="", metavar="DIR", help="the data set's folder, or the folder that contains it")
    add_import_argument(parser)
    add(
        "opts",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help="settings that override the configuration; put them last, but not directly after -s, -t or --transforms, "
        "which would read them as names",
    )


def configuration(args: argparse.Namespace):
    """Returns the configuration that the flags describe. As in torchreid, KEY VALUE pairs override everything else.

    Raises:
        ValueError, FileNotFoundError: A flag or a key is not valid.
    """
    from torchreid_rgbir import config

    cfg = config.load(args.config_file)
    for key in ("sources", "targets", "transforms", "root"):
        words = getattr(args, key)
        swallowed = [word for word in words or () if key != "root" and "." in word]
        if swallowed:
            raise ValueError(
                f"--{key} has read {swallowed[0]} as a name: "
                "put KEY VALUE pairs after a flag with one value, such as --root"
            )
        if words:
            cfg.data[key] = words
    cfg = config.override(cfg, args.opts)
    logger.debug("configuration:\n%s", cfg.dump())
    return cfg


def run(args: argparse.Namespace) -> int:
    cfg = configuration(args)
    _warn_of_data_set(args.config_file, cfg)
    return train_and_show(cfg)


def _warn_of_data_set(recipe: str, cfg) -> None:
    """Warns if a recipe that follows its authors' code is trained on a data set that the recipe does not define."""
    from torchreid_rgbir import config
    from torchreid_rgbir.runs.published import STEP_EQUAL

    if recipe in STEP_EQUAL and not cfg.test.evaluate:
        defined = config.load(recipe).data.sources
        if list(cfg.data.sources) != defined:
            logger.warning(
                "%s is the recipe of its authors for %s: on %s it is your own experiment",
                recipe,
                ", ".join(defined),
                ", ".join(cfg.data.sources),
            )


def train_and_show(cfg) -> int:
    """Trains and tests. The log on standard output ends with the results. A quiet command prints only the results."""
    from torchreid_rgbir.metrics import report
    from torchreid_rgbir.runs.train import train

    with terminal.stderr_only(sys.stdout):
        engine = train(cfg)
    if terminal.is_quiet() and os.environ.get("RANK", "0") == "0":  # the other processes of torchrun print nothing
        for results in engine.results.values():
            print(terminal.bold_title(report.terminal_table(results, terminal.width(sys.stdout))))
    return 0
