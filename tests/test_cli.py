import importlib
import logging
import shlex
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from torchreid_rgbir import cli, terminal


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    command = importlib.import_module(f"torchreid_rgbir.commands.{name}")
    assert " ".join(command.EXAMPLE.split()) in " ".join(capsys.readouterr().out.split())
    program, chosen, *flags = shlex.split(command.EXAMPLE)
    assert (program, chosen) == ("torchreid-rgbir", name)
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    parser.parse_args(flags)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "torchreid-rgbir: error: the following arguments are required: COMMAND, "),
        (["nosuch"], "torchreid-rgbir: error: argument COMMAND: invalid choice: 'nosuch' (choose from "),
        (
            ["doctor", "--nosuch"],
            "torchreid-rgbir doctor: error: the following arguments are required: --dataset, --root",
        ),
        (["synthesize"], "torchreid-rgbir synthesize: error: the following arguments are required: --layout, --out"),
        (
            ["evaluate", "f.npz", "--protocol", "x"],
            "torchreid-rgbir evaluate: error: argument --protocol: invalid choice",
        ),
    ],
)
def test_wrong_words_end_in_one_line_with_status_2(words, says, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(says) and "--help)" in printed.err


def test_a_mistake_is_one_line_and_debug_shows_where(capsys):
    words = ["train", "--config-file", "nosuch"]
    assert cli.main(words) == 2
    assert capsys.readouterr().err.startswith(
        "torchreid-rgbir train: error: there is no configuration nosuch: give a .yaml file or one of "
    )
    with pytest.raises(FileNotFoundError):
        cli.main(["--debug", *words])


def test_an_error_of_a_worker_process_is_its_last_line():
    error = ValueError(
        "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  x\nValueError: a.jpg cannot be read\n"
    )
    assert cli._user_error(error) == "a.jpg cannot be read"
    assert cli._user_error(ValueError()) == "ValueError"


def test_the_module_runs_as_a_program():
    run = subprocess.run(
        [sys.executable, "-m", "torchreid_rgbir", "train", "data.root"], capture_output=True, text=True
    )
    assert run.returncode == 2
    assert (
        run.stderr
        == "torchreid-rgbir train: error: configuration overrides come in pairs KEY VALUE, got data.root: give every key a value\n"
    )


@pytest.fixture
def command(monkeypatch):
    """A command whose `run` a test chooses."""
    made = ModuleType("made", "Does what a test wants.")
    made.EXAMPLE = "torchreid-rgbir doctor"
    made.add_arguments = lambda parser: parser.add_argument("--batch-size", type=int, default=64)
    monkeypatch.setitem(sys.modules, "torchreid_rgbir.commands.doctor", made)

    def choose(run):
        made.run = run

    return choose


def raising(error):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize("words", [["--quiet", "doctor"], ["doctor", "--quiet"], ["doctor", "-q"]])
def test_quiet_before_and_after_the_name(command, words, capsys):
    levels = []
    command(lambda args: levels.append(terminal.is_quiet()) or logging.getLogger("torchreid_rgbir").info("said") or 0)
    assert cli.main(words) == 0 == cli.main(["doctor"])
    assert levels == [True, False]
    assert capsys.readouterr() == ("", "said\n")


def test_verbose_tells_versions_and_time(command, capsys):
    command(lambda args: 0)
    assert cli.main(["doctor", "--verbose"]) == 0
    printed = capsys.readouterr().err
    assert "'torch': '" in printed and "the command took 0.0 s" in printed
    with pytest.raises(SystemExit) as stop:
        cli.main(["--quiet", "doctor", "--verbose"])
    assert stop.value.code == 2
    assert "contradict each other" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["gallery", "--quiet", "list", "g"], ["gallery", "list", "g", "--quiet"]])
def test_quiet_in_a_command_of_commands(flags, monkeypatch):
    levels = []
    gallery = importlib.import_module("torchreid_rgbir.commands.gallery")
    monkeypatch.setattr(gallery, "_list", lambda args: levels.append(terminal.is_quiet()) or 0)
    assert cli.main(flags) == 0
    assert levels == [True]


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (ValueError("two\n lines"), 2, "error: two lines"),
        (FileExistsError(17, "File exists", "there"), 2, "error: there: File exists"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"),
            1,
            "lower --batch-size 64 (CUDA out of memory. Tried)",
        ),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: x"),
            1,
            "out of memory: lower --batch",
        ),
        (MemoryError(), 1, "error: out of memory: lower --batch-size 64 (MemoryError)"),
        (KeyError("x"), 1, "error: KeyError: 'x' (--debug shows the traceback)"),
        (RuntimeError(), 1, "error: RuntimeError: (--debug shows the traceback)"),
        (KeyboardInterrupt(), 130, "doctor: interrupted"),
    ],
)
def test_what_goes_wrong_is_one_line(command, capsys, error, status, says):
    command(raising(error))
    assert cli.main(["doctor"]) == status
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and says in printed


def test_memory_of_a_run_names_its_settings(monkeypatch, capsys):
    monkeypatch.setattr("torchreid_rgbir.runs.train.train", raising(torch.OutOfMemoryError("CUDA out of memory.")))
    assert cli.main(["train", "--config-file", "quickstart"]) == 1
    printed = capsys.readouterr().err
    assert "train.batch_size" in printed and "train.accumulate" in printed and printed.count("\n") == 1


def test_a_closed_pipe_is_no_error(tmp_path):
    rng = np.random.default_rng(0)
    rows = {"pids": [1, 1, 2, 2], "camids": [1, 2, 1, 2], "modalities": [0, 1, 0, 1]}
    np.savez(tmp_path / "features.npz", features=rng.standard_normal((4, 3)), **rows)
    words = f"'{sys.executable}' -m torchreid_rgbir evaluate '{tmp_path}/features.npz' --protocol standard"
    run = subprocess.run(["bash", "-c", f"{words} | true; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
