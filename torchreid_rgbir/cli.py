"""`torchreid-rgbir COMMAND ...`: finds the command's module, parses its flags, turns what goes wrong into one line and an exit status."""

import argparse
import importlib
import logging
import os
import sys
import time
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

import torch

from torchreid_rgbir import __version__, terminal
from torchreid_rgbir.commands.memory import keep_freed_memory
from torchreid_rgbir.runs.provenance import versions

logger = logging.getLogger(__name__)

# What `--help` lists. A command's module is imported only when it is chosen, so that one command never pays for another's packages.
COMMANDS = {
    "quickstart": "make a synthetic RGB-IR set, train the method on it, score it, draw ranked results",
    "train": "train a model, then test it (the flags of torchreid's scripts/main.py)",
    "run": "run a script of torchreid's, such as scripts/main.py, with the plugin installed",
    "test": "test a trained model (train with test.evaluate True)",
    "splits": "train and test on RegDB's ten splits, resuming where it stopped; report their mean",
    "compare": "train and score several methods, torchreid's own among them, under one protocol; one table",
    "ablation": "ask what each part of the method brings, on synthetic people, with many seeds",
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
    "completion": "print the script that lets a shell complete commands, flags and files",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other mistake is said."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, _line(self.prog, f"{message} (see {self.prog} --help)"))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after `torchreid-rgbir`; the process's own when None.

    Returns:
        The exit status: 0, 1 where a command reports a finding or fails for a reason of its own, 2 for a user's mistake, 130 after Ctrl-C.
    """
    keep_freed_memory()
    chosen = program().parse_args(sys.argv[1:] if argv is None else list(argv))
    name = f"torchreid-rgbir {chosen.command}"
    args = argparse.Namespace(quiet=chosen.quiet, verbose=chosen.verbose, debug=chosen.debug)
    try:
        command = importlib.import_module(f"torchreid_rgbir.commands.{chosen.command}")
        parser = Parser(prog=name)
        describe(parser, command)
        args = parser.parse_args(chosen.rest, args)
        if args.quiet and args.verbose:
            parser.error("--quiet and --verbose contradict each other: leave one out")
        level = terminal.QUIET if args.quiet else terminal.VERBOSE if args.verbose else terminal.NORMAL
        start = time.monotonic()
        with terminal.log_level(level):
            logger.debug("%s on %s", versions(), _device())
            status = command.run(args)
            sys.stdout.flush()  # a pipe that is closed is found here rather than when the process ends
            logger.debug("it took %.1f s", time.monotonic() - start)
        return status
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `torchreid-rgbir ... | head` is no error of anybody's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if args.debug:
            raise
        mistake = isinstance(error, (ValueError, OSError))
        sys.stderr.write(_line(name, _one_line(error) if mistake else _failure(error, args)))
        return 2 if mistake else 1


def program() -> Parser:
    """The parser of everything up to a command's name."""
    listing = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog="torchreid-rgbir",
        description="Visible-infrared re-identification with torchreid.",
        epilog=f"commands:\n{listing}\n\nexample: torchreid-rgbir quickstart\n`torchreid-rgbir COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    terminal.add_flags(parser)
    parser.set_defaults(quiet=False, verbose=False, debug=False)
    parser.add_argument("--version", action="version", version=f"torchreid-rgbir {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="the command's own flags")
    return parser


def describe(parser: argparse.ArgumentParser, command: ModuleType) -> None:
    """Gives a parser what a command's module says of itself."""
    parser.description = command.__doc__
    parser.epilog = f"example: {command.EXAMPLE}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    command.add_arguments(parser)
    terminal.add_flags(parser)


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


def _line(name: str, text: str) -> str:
    return f"{name}: {terminal.colorize('error:', terminal.RED, sys.stderr)} {text}\n"


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:  # the system's, whom nobody has translated
        return f"{error.filename}: {error.strerror}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # An error from a loader's worker process arrives as its whole traceback; its last line is the message.
    text = lines[-1] if lines[0].startswith("Caught") else " ".join(line.strip() for line in lines)
    return text.removeprefix("ValueError: ").removeprefix("FileNotFoundError: ")


def _failure(error: Exception, args: argparse.Namespace) -> str:
    """What is no user's mistake: too little memory, and what nobody has thought of."""
    lines = str(error).strip().splitlines() or [""]
    text = lines[-1] if lines[0].startswith("Caught") else lines[0]
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error):
        advice = "use a machine with more"
        if hasattr(args, "opts"):  # a configuration's
            advice = "lower train.batch_size (train.accumulate N averages N batches for one step), or test.batch_size in a test"
        elif hasattr(args, "batch_size"):
            advice = f"lower --batch-size {args.batch_size}"
        return f"memory ran out: {advice} ({text or type(error).__name__})"
    return " ".join(filter(None, (f"{type(error).__name__}:", text, "(--debug shows where)")))
