"""Terminal output: progress bars, colors, log levels, and log lines that do not break a progress bar."""

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from tqdm import tqdm

QUIET, NORMAL, VERBOSE = logging.WARNING, logging.INFO, logging.DEBUG
BOLD, RED, YELLOW = 1, 31, 33  # ANSI codes

# One level for the process, as in the logging module, because progress bars deep inside the library need it too.
_level = NORMAL
_ours = logging.getLogger("torchreid_rgbir")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of every command.

    They are allowed before and after the command's name, so neither place has a default.
    """
    switch: Any = {"action": "store_true", "default": argparse.SUPPRESS}
    group = parser.add_argument_group("output").add_mutually_exclusive_group()
    group.add_argument("-q", "--quiet", help="show only errors, warnings and the result", **switch)
    verbose = "also show versions, the configuration, decisions and the time taken"
    group.add_argument("-v", "--verbose", help=verbose, **switch)
    parser.add_argument("--debug", help="show the traceback of an error", **switch)


@contextmanager
def log_level(level: int) -> Iterator[None]:
    """Sends our log lines from `level` up to standard error. `QUIET` also hides progress bars and `stderr_only`."""
    global _level
    before, _level = _level, level
    handler = LogLines(sys.stderr)
    handler.setLevel(level)
    try:
        with _logging([*_ours.handlers, handler], level):
            yield
    finally:
        _level = before


@contextmanager
def log_to(stream: TextIO | Any) -> Iterator[None]:
    """Sends our log lines to `stream`. Only the warnings of a quiet command go to standard error, too."""
    with _logging([LogLines(stream), *(_ours.handlers if is_quiet() else [])], min(_level, NORMAL)):
        yield


@contextmanager
def _logging(handlers: list[logging.Handler], level: int) -> Iterator[None]:
    before = _ours.handlers, _ours.level
    _ours.handlers = handlers
    _ours.setLevel(level)
    try:
        yield
    finally:
        _ours.handlers = before[0]
        _ours.setLevel(before[1])


def is_quiet() -> bool:
    """Returns whether only errors, warnings and the result are shown."""
    return _level >= QUIET


@contextmanager
def stderr_only(stream: TextIO | None = None) -> Iterator[None]:
    """Sends what is printed, but is not the result, to `stream` or standard error. A quiet command discards it."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere if is_quiet() else stream or sys.stderr):
        yield


def progress(
    items: Iterable | None, text: str, total: int | None = None, *, unit: str, done: int = 0, shown: bool = True
) -> tqdm:
    """A progress bar with the rate and the time left. It appears on terminals only and disappears when it is complete.

    Args:
        items: What to iterate over. With None the caller calls `update`.
        text: What is being done.
        total: The number of items. By default it is the length of `items`.
        unit: The name of one item.
        done: The number of items that were done before.
        shown: False hides the bar.
    """
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
        disable=None if shown and not is_quiet() else True,  # None hides the bar unless standard error is a terminal
    )


def _size() -> tuple[int | None, int | None]:
    """Columns and lines of standard error. Some terminals report 0, where tqdm would draw nothing."""
    try:
        columns, lines = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return None, None
    return columns or 80, lines or 24


def width(stream: TextIO | Any) -> int | None:
    """Columns of the terminal that `stream` writes to, or None if it is not a terminal, such as a pipe."""
    return shutil.get_terminal_size().columns if _is_terminal(stream) else None


def _is_terminal(stream: TextIO | Any) -> bool:
    # torchreid's Logger, which replaces standard output, has no isatty.
    return getattr(stream, "isatty", lambda: False)()


def colorize(text: str, style: int, stream: TextIO | Any) -> str:
    """Returns the text in color or bold if `stream` is a terminal and NO_COLOR (https://no-color.org) is not set."""
    colored = _is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\033[{style}m{text}\033[0m" if colored else text


def bold_title(text: str) -> str:
    """Returns the text for standard output with its first line in bold."""
    title, newline, rest = text.partition("\n")
    return colorize(title, BOLD, sys.stdout) + newline + rest


class LogLines(logging.StreamHandler):
    """Prints log lines above the progress bars. Only warnings and errors have a prefix."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return colorize("warning:", YELLOW, self.stream) + " " + text if record.levelno >= logging.WARNING else text

    def emit(self, record: logging.LogRecord) -> None:
        with tqdm.external_write_mode(self.stream):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        raise  # noqa: PLE0704  (logging calls this from its `except`): a closed pipe ends the command, as with print
