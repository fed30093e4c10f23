"""`torchreid-rgbir COMMAND ...`: finds the command's module, parses its flags, turns a user's mistake into one line and exit status 2."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

# What `--help` lists. A command's module is imported only when it is chosen, so that one command never pays for another's packages.
COMMANDS = {
    "quickstart": "make a synthetic RGB-IR set, train the method on it, score it, draw ranked results",
    "train": "train a model, then test it (the flags of torchreid's scripts/main.py)",
    "run": "run a script of torchreid's, such as scripts/main.py, with the plugin installed",
    "test": "test a trained model (train with test.evaluate True)",
    "splits": "train and test on RegDB's ten splits, resuming where it stopped; report their mean",
    "compare": "train and score several methods, torchreid's own among them, under one protocol; one table",
    "evaluate": "score features extracted by any model under a data set's protocol",
    "published": "compare a results.json with published numbers: within, below or above, and by how much",
    "extract": "features of your own images",
    "identify": "who or what is it: rank the categories of references for an image of the other modality",
    "gallery": "keep references: add, remove, list, search, compact",
    "calibrate": "find the score below which an image is unknown",
    "export": "write a trained model as ONNX graphs and safetensors, for use without torchreid",
    "visualize": "draw ranked results, features, distances, edges, activation and curves, or a report page",
    "doctor": "check a data set on disk before training",
    "synthesize": "write a synthetic RGB-IR data set in an official layout",
    "benchmark": "measure speed, both sides of each ratio interleaved in one run",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other mistake is said."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after `torchreid-rgbir`; the process's own when None.

    Returns:
        The exit status: 0, 1 where a command reports a finding, 2 for a user's mistake.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    listing = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog="torchreid-rgbir",
        description="Visible-infrared re-identification with torchreid.",
        epilog=f"commands:\n{listing}\n\nexample: torchreid-rgbir quickstart\n`torchreid-rgbir COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="the command's own flags")
    chosen = parser.parse_args(argv)

    command = importlib.import_module(f"torchreid_rgbir.commands.{chosen.command}")
    parser = Parser(
        prog=f"torchreid-rgbir {chosen.command}",
        description=command.__doc__,
        epilog=f"example: {command.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    args = parser.parse_args(chosen.rest)
    try:
        return command.run(args)
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `torchreid-rgbir ... | head` is no error of anybody's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        if chosen.debug:
            raise
        print(f"{parser.prog}: error: {_one_line(error)}", file=sys.stderr)
        return 2


def _one_line(error: ValueError | OSError) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # An error from a loader's worker process arrives as its whole traceback; its last line is the message.
    text = lines[-1] if lines[0].startswith("Caught") else " ".join(line.strip() for line in lines)
    return text.removeprefix("ValueError: ").removeprefix("FileNotFoundError: ")
