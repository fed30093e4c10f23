"""The commands of `torchreid-rgbir`, one module each.

The command line imports a command's module before the package itself, so that `--help` and errors in flags need neither
torch nor torchreid. Such a module therefore imports only the standard library and light modules at its top, and
everything else in `run`. Its names:

    EXAMPLE                  a command line for `--help`
    add_arguments(parser)    adds the flags
    run(args) -> int         runs the command and returns the exit status
    LIGHT = True             only if `run` needs neither torch nor what the package registers with torchreid
"""

import argparse
import sys
from types import ModuleType

from torchreid_rgbir import terminal
from torchreid_rgbir.extras import MissingExtra

COMMANDS = {
    "quickstart": "render synthetic RGB-IR data, train the method on it, score it and draw ranked results",
    "train": "train a model, then test it (takes the flags of torchreid's scripts/main.py)",
    "run": "run a script written for torchreid, such as scripts/main.py, with the plugin installed",
    "test": "test a trained model (the same as train with test.evaluate True)",
    "splits": "train and test on RegDB's ten splits and report the mean; resumes where it stopped",
    "compare": "train and score several methods, torchreid's own among them, under one protocol",
    "ablation": "measure what each part of the method adds, on synthetic people, with many seeds",
    "evaluate": "score features of any model under a data set's protocol",
    "published": "compare a results.json with published results",
    "extract": "write features of your own images to a file",
    "identify": "rank the categories of reference images for an image of the other modality",
    "match": "find the tracks of two cameras that show the same person or object",
    "gallery": "manage a gallery of reference images: add, remove, list, search, compact",
    "calibrate": "find the score below which an image is reported as unknown",
    "demo": "show a web page that identifies and compares images",
    "convert": "convert a checkpoint of AGW's, CAJ's, LuckyDC's or MCJA's code, or write one",
    "export": "write a trained model as ONNX graphs and safetensors, for use without torchreid",
    "visualize": "draw ranked results, features, distances, edges, activation and curves, or an HTML report",
    "doctor": "check a data set on disk before training",
    "synthesize": "write a synthetic RGB-IR data set in an official layout",
    "benchmark": "measure speed; the sides of each ratio take turns in one run",
    "completion": "print the script for shell completion of commands, flags and files",
}


def describe(parser: argparse.ArgumentParser, command: ModuleType) -> None:
    """Adds the help text, the example and the flags of a command to its parser."""
    parser.description = command.__doc__
    parser.epilog = f"example: {command.EXAMPLE}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    command.add_arguments(parser)
    terminal.add_flags(parser)


def load_package() -> None:
    """Runs the package's __init__ unless it has run already. It imports torch and registers everything with torchreid.

    Raises:
        MissingExtra: torch cannot be imported.
    """
    package = sys.modules["torchreid_rgbir"]
    if "register_loss" in vars(package):
        return
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MissingExtra(
            f"torch cannot be imported ({reason}): reinstall it with `pip install --force-reinstall torch`"
        ) from error
    package.__spec__.loader.exec_module(package)  # type: ignore[union-attr]
