"""The output on a terminal, in a pipe and in the log file, at each log level."""

import io
import logging
import os
import pty
import subprocess
import sys

import pytest

from torchreid_rgbir import terminal
from torchreid_rgbir.runs.folder import run_folder

logger = logging.getLogger("torchreid_rgbir.anything")


class Screen(io.StringIO):
    def isatty(self):
        return True


def screen_of(monkeypatch):
    """Makes standard error a terminal with colors. This is not a fixture, because pytest captures output after those."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Screen()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_a_bar_has_rate_and_time_left_on_a_terminal(monkeypatch):
    screen = screen_of(monkeypatch)
    for _ in terminal.progress(range(3), "drawing", unit="image"):
        pass
    shown = screen.getvalue()
    assert "drawing:   0%" in shown and "/3 [" in shown and "<" in shown and "image/s]" in shown
    assert shown.split("\r")[-1].strip() == ""  # it disappears when it is complete


def test_a_terminal_that_does_not_know_its_size_has_bars_too():
    """The program `script` and some consoles have such a terminal."""
    ours, theirs = pty.openpty()
    program = (
        "from torchreid_rgbir.terminal import progress\nfor _ in progress(range(3), 'drawing', unit='image'): pass"
    )
    assert subprocess.run([sys.executable, "-c", program], stdout=theirs, stderr=theirs).returncode == 0
    shown = os.read(ours, 10000).decode()
    assert "drawing:   0%" in shown and "image/s]" in shown


def test_no_bar_in_a_pipe_in_a_quiet_command_or_where_none_is_wanted(monkeypatch):
    screen = screen_of(monkeypatch)
    list(terminal.progress(range(3), "drawing", unit="image", shown=False))
    with terminal.log_level(terminal.QUIET):
        list(terminal.progress(range(3), "drawing", unit="image"))
    assert screen.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(terminal.progress(range(3), "drawing", unit="image")) == [0, 1, 2]
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize(
    ("variable", "value", "colored"),
    [("NO_COLOR", "", True), ("NO_COLOR", "1", False), ("NO_COLOR", "0", False), ("TERM", "dumb", False)],
)
def test_colors(monkeypatch, variable, value, colored):
    screen = screen_of(monkeypatch)
    monkeypatch.setenv(variable, value)
    assert terminal.colorize("no", terminal.RED, screen) == ("\033[31mno\033[0m" if colored else "no")
    assert terminal.colorize("no", terminal.RED, io.StringIO()) == "no"


def test_the_first_line_of_a_result_is_its_title(monkeypatch):
    screen = screen_of(monkeypatch)
    assert terminal.bold_title("a\nb\n") == "a\nb\n"  # standard output is not a terminal
    monkeypatch.setattr(sys, "stdout", screen)
    assert terminal.bold_title("a\nb\n") == "\033[1ma\033[0m\nb\n"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (terminal.QUIET, ["warning: w"]),
        (terminal.NORMAL, ["i", "warning: w"]),
        (terminal.VERBOSE, ["d", "i", "warning: w"]),
    ],
)
def test_each_level_shows_its_lines(level, shown, capsys):
    with terminal.log_level(level):
        logger.debug("d")
        logger.info("i")
        logger.warning("w")
        with terminal.stderr_only():
            print("chatter")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == shown + ([] if level == terminal.QUIET else ["chatter"])
    logger.info("outside")
    assert capsys.readouterr().err == ""


def test_a_line_goes_above_a_bar(monkeypatch):
    screen = screen_of(monkeypatch)
    with terminal.log_level(terminal.NORMAL):
        bar = terminal.progress(range(2), "x", unit="y")
        bar.refresh()
        logger.info("a line")
        bar.close()
    before, after = screen.getvalue().split("a line\n")
    assert before.endswith("\r") and after.startswith("\r")  # the bar was erased and drawn again below


@pytest.mark.parametrize("quiet", [False, True])
def test_the_log_of_a_run_holds_everything_and_no_color(tmp_path, monkeypatch, quiet):
    screen = screen_of(monkeypatch)
    out = Screen()
    monkeypatch.setattr(sys, "stdout", out)
    with terminal.log_level(terminal.QUIET if quiet else terminal.NORMAL):
        with terminal.stderr_only(sys.stdout), run_folder(tmp_path, "train.log") as folder:
            folder.open()
            print("printed")
            logger.info("logged")
            logger.warning("watch out")
        print("result")
    assert (tmp_path / "train.log").read_text() == "printed\nlogged\nwarning: watch out\n"
    warning = "\033[33mwarning:\033[0m watch out\n"
    assert out.getvalue() == ("result\n" if quiet else f"printed\nlogged\n{warning}result\n")
    assert screen.getvalue() == (warning if quiet else "")
