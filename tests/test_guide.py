"""Every command of the guide is one that the program has; the guide itself was run as written."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[1] / "docs" / "guide.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^torchreid-rgbir (.+?)(?: \| .*)?$", "".join(re.findall(r"```sh\n(.*?)```", GUIDE, re.S)), re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_parses(command):
    name, *flags = shlex.split(command)
    parser = argparse.ArgumentParser()
    importlib.import_module(f"torchreid_rgbir.commands.{name}").add_arguments(parser)
    parser.parse_args(flags)


def test_the_guide_shows_every_command_of_retrieval():
    assert {command.split()[0] for command in COMMANDS} >= {"extract", "identify", "gallery", "calibrate"}


def test_its_python_names_what_there_is():
    [program] = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    imports = [line for line in program.splitlines() if line.startswith("from ")]
    assert imports
    exec("\n".join(imports), {})
