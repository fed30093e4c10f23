"""The command line `torchreid-rgbir COMMAND ...`: parses flags, runs the command and reports errors in one line."""

import argparse
import importlib
import logging
import os
import platform
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from torchreid_rgbir import __version__, terminal
from torchreid_rgbir.commands import COMMANDS, describe, load_package
from torchreid_rgbir.commands.memory import keep_freed_memory

logger = logging.getLogger(__name__)


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, _line(self.prog, f"{message} (see {self.prog} --help)"))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The words after `torchreid-rgbir`. By default those of the process.

    Returns:
        The exit status: 0 for success, 1 if a command reports a finding or fails unexpectedly, 2 for a user error, 130
        after Ctrl-C.
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
            parser.error("--quiet and --verbose contradict each other: remove one of them")
        level = terminal.QUIET if args.quiet else terminal.VERBOSE if args.verbose else terminal.NORMAL
        start = time.monotonic()
        with terminal.log_level(level):
            if getattr(command, "LIGHT", False):
                logger.debug("torchreid_rgbir %s, Python %s", __version__, platform.python_version())
            else:
                load_package()
                _log_versions()
            status = command.run(args)
            sys.stdout.flush()  # a closed pipe is found here and not when the process ends
            logger.debug("the command took %.1f s", time.monotonic() - start)
        return status
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `torchreid-rgbir ... | head` is not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if args.debug:
            raise
        is_user_error = isinstance(error, (ValueError, OSError))
        sys.stderr.write(_line(name, _user_error(error) if is_user_error else _failure(error, args)))
        return 2 if is_user_error else 1


def program() -> Parser:
    """Returns the parser of everything up to the command's name."""
    listing = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog="torchreid-rgbir",
        description="Visible-infrared re-identification with torchreid.",
        epilog=f"commands:\n{listing}\n\nexample: torchreid-rgbir quickstart\n"
        "`torchreid-rgbir COMMAND --help` shows the flags of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    terminal.add_flags(parser)
    parser.set_defaults(quiet=False, verbose=False, debug=False)
    parser.add_argument("--version", action="version", version=f"torchreid-rgbir {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="the flags of the command")
    return parser


def _log_versions() -> None:
    if logger.isEnabledFor(logging.DEBUG):
        from torchreid_rgbir.runs.provenance import device_name, versions

        logger.debug("%s on %s", versions(), device_name())


def _line(name: str, text: str) -> str:
    return f"{name}: {terminal.colorize('error:', terminal.RED, sys.stderr)} {text}\n"


def _user_error(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:  # raised by the operating system
        return f"{error.filename}: {error.strerror}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # An error from a loader's worker process contains the traceback. The message is in the last line.
    text = lines[-1] if lines[0].startswith("Caught") else " ".join(line.strip() for line in lines)
    return text.removeprefix("ValueError: ").removeprefix("FileNotFoundError: ")


def _failure(error: Exception, args: argparse.Namespace) -> str:
    """The text for an error that is not the user's: out of memory, or something unexpected."""
    lines = str(error).strip().splitlines() or [""]
    text = lines[-1] if lines[0].startswith("Caught") else lines[0]
    name = type(error).__name__
    if name in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in str(error):
        advice = "use a machine with more memory"
        if hasattr(args, "opts"):  # the command takes a configuration
            advice = (
                "lower train.batch_size (train.accumulate N averages the gradients of N batches), "
                "or test.batch_size in a test"
            )
        elif hasattr(args, "batch_size"):
            advice = f"lower --batch-size {args.batch_size}"
        return f"out of memory: {advice} ({text or name})"
    return " ".join(filter(None, (f"{name}:", text, "(--debug shows the traceback)")))
