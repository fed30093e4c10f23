"""What a terminal shows: bars and colors where somebody looks, as much as was asked for, and log lines that leave a bar whole."""

import argparse
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from tqdm import tqdm

QUIET, NORMAL, VERBOSE = logging.WARNING, logging.INFO, logging.DEBUG
BOLD, RED, YELLOW = 1, 31, 33  # ECMA-48's numbers

# Of the process, as logging's own levels are: a bar deep inside the library has no other way to know.
_level = NORMAL


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every command; they may stand before and after its name, so neither place has a default of its own."""
    group = parser.add_argument_group("output").add_mutually_exclusive_group()
    group.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        default=argparse.SUPPRESS,
        help="nothing but errors, warnings and the result",
    )
    group.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=argparse.SUPPRESS,
        help="versions, configuration, every decision and how long it took",
    )
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )


@contextmanager
def log_level(level: int) -> Iterator[None]:
    """Within, standard error gets our log lines from `level` up, and `QUIET` hides bars and what is printed `aside`."""
    global _level
    handler = LogLines(sys.stderr)
    handler.setLevel(level)
    ours = logging.getLogger("torchreid_rgbir")
    before = _level, ours.level
    _level = level
    ours.addHandler(handler)
    ours.setLevel(level)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        _level = before[0]
        ours.setLevel(before[1])


@contextmanager
def log_to(stream: TextIO | Any) -> Iterator[None]:
    """Within, our log lines go to `stream` and no longer to standard error, where only a quiet command's warnings go on to be shown."""
    ours = logging.getLogger("torchreid_rgbir")
    handlers, level = ours.handlers, ours.level
    ours.handlers = [LogLines(stream), *(handlers if is_quiet() else [])]
    ours.setLevel(min(_level, NORMAL))
    try:
        yield
    finally:
        ours.handlers = handlers
        ours.setLevel(level)


def is_quiet() -> bool:
    """Whether only errors, warnings and the result are wanted."""
    return _level >= QUIET


@contextmanager
def stderr_only(stream: TextIO | None = None) -> Iterator[None]:
    """What is printed within is not the result: it goes to `stream` (None: standard error), or nowhere where it is to be quiet."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere if is_quiet() else stream or sys.stderr):
        yield


def progress(
    items: Iterable | None,
    text: str,
    total: int | None = None,
    *,
    unit: str,
    done: int = 0,
    shown: bool = True,
) -> tqdm:
    """A bar with rate and time left, on a terminal alone; it goes when it is full.

    Args:
        items: gone over by going over the bar; None for a bar that is told by `update`.
        text: what is being done.
        total: how many there are; None: as `items` says.
        unit: what they are, in the singular.
        done: so many of them before.
        shown: False for none at all.
    """
    wanted = shown and not is_quiet()
    columns, lines = _size()
    return tqdm(
        items,
        text,
        total,
        leave=False,
        unit=unit,
        initial=done,
        ncols=columns,
        nrows=lines,
        disable=None if wanted else True,  # None: hidden unless standard error is a terminal
    )


def _size() -> tuple[int | None, int | None]:
    """Columns and lines of standard error; a terminal that says 0 does not know, and tqdm would draw nothing there."""
    try:
        columns, lines = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return None, None
    return columns or 80, lines or 24


def colorize(text: str, style: int, stream: TextIO | Any) -> str:
    """The text in a color or in bold, where `stream` is a terminal that shows such and NO_COLOR is not set (https://no-color.org)."""
    is_terminal = getattr(
        stream, "isatty", None
    )  # torchreid's Logger, which scripts/main.py puts in place of standard output, has none
    colored = is_terminal and is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\033[{style}m{text}\033[0m" if colored else text


def bold_title(text: str) -> str:
    """The text, for standard output, its first line in bold."""
    title, newline, rest = text.partition("\n")
    return colorize(title, BOLD, sys.stdout) + newline + rest


class LogLines(logging.StreamHandler):
    """Log lines, bare but for a warning's name, above the bars that are shown."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return colorize("warning:", YELLOW, self.stream) + " " + text if record.levelno >= logging.WARNING else text

    def emit(self, record: logging.LogRecord) -> None:
        with tqdm.external_write_mode(self.stream):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        raise  # noqa: PLE0704  (logging calls this from its `except`): a closed pipe ends the command, as it does for print
