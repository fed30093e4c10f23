import importlib
import shlex
import subprocess
import sys

import pytest

from torchreid_rgbir import cli


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
        "torchreid-rgbir train: error: no configuration nosuch: give a .yaml file or one of "
    )
    with pytest.raises(FileNotFoundError):
        cli.main(["--debug", *words])


def test_an_error_of_a_worker_process_is_its_last_line():
    error = ValueError(
        "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  x\nValueError: a.jpg cannot be read\n"
    )
    assert cli._one_line(error) == "a.jpg cannot be read"
    assert cli._one_line(ValueError()) == "ValueError"


def test_the_module_runs_as_a_program():
    run = subprocess.run(
        [sys.executable, "-m", "torchreid_rgbir", "train", "data.root"], capture_output=True, text=True
    )
    assert run.returncode == 2
    assert (
        run.stderr == "torchreid-rgbir train: error: configuration overrides come in pairs KEY VALUE, got data.root\n"
    )
