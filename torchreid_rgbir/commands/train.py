"""Train a model on RGB-IR images, then test it; takes the flags of torchreid's scripts/main.py."""

import argparse
import logging
import os
import sys

from torchreid_rgbir import config, terminal
from torchreid_rgbir.commands.arguments import add_import_argument
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs.train import train

logger = logging.getLogger(__name__)

EXAMPLE = "torchreid-rgbir train --config-file mso_sysu --root reid-data data.save_dir log/mso_sysu train.seed 1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-file",
        default="",
        metavar="FILE",
        help="a .yaml file, or the name of a shipped one, such as mso_sysu; docs/recipes.md has all of them",
    )
    parser.add_argument("-s", "--sources", nargs="+", metavar="NAME", help="training data sets")
    parser.add_argument("-t", "--targets", nargs="+", metavar="NAME", help="test data sets; the sources when left out")
    parser.add_argument(
        "--transforms", nargs="+", metavar="NAME", help="augmentation: pad_crop random_flip channel_augment ..."
    )
    parser.add_argument("--root", default="", metavar="DIR", help="the data set's folder, or the folder that holds it")
    add_import_argument(parser)
    parser.add_argument(
        "opts",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help="changes to the configuration, after a flag of one value such as --root",
    )


def configuration(args: argparse.Namespace):
    """The configuration that the flags ask for; KEY VALUE pairs have the last word, as in torchreid.

    Raises:
        ValueError, FileNotFoundError: a flag or a key that cannot be.
    """
    cfg = config.load(args.config_file)
    for key in ("sources", "targets", "transforms", "root"):
        words = getattr(args, key)
        swallowed = [word for word in words or () if key != "root" and "." in word]
        if swallowed:
            raise ValueError(
                f"--{key} took {swallowed[0]} for a name: put KEY VALUE pairs after a flag of one value, such as --root"
            )
        if words:
            cfg.data[key] = words
    cfg = config.override(cfg, args.opts)
    logger.debug("configuration:\n%s", cfg.dump())
    return cfg


def run(args: argparse.Namespace) -> int:
    return train_and_show(configuration(args))


def train_and_show(cfg) -> int:
    """Trains and tests; the log on standard output ends in the results, which a quiet command prints alone."""
    with terminal.stderr_only(sys.stdout):
        engine = train(cfg)
    if terminal.is_quiet() and os.environ.get("RANK", "0") == "0":  # torchrun's other processes print nothing
        for results in engine.results.values():
            print(terminal.bold_title(report.terminal_table(results)))
    return 0
