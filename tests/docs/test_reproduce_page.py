"""docs/reproduce.md: commands parse, configurations are shipped, keys exist, and the table equals the published rows."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from torchreid_rgbir import config
from torchreid_rgbir.runs.published import ROWS

PAGE = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")
SCRIPTS = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
COMMANDS = re.findall(
    r"^torchreid-rgbir (.+?)(?: &&)?$", re.sub(r" +#.*$", "", SCRIPTS, flags=re.MULTILINE), re.MULTILINE
)
SHIPPED = {path.stem for path in config.shipped()}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_parses_and_its_keys_exist(command):
    name, *flags = shlex.split(command)
    parser = argparse.ArgumentParser()
    importlib.import_module(f"torchreid_rgbir.commands.{name}").add_arguments(parser)
    args = parser.parse_args(flags)
    config.override(config.defaults(), getattr(args, "opts", []))


def test_every_data_set_has_a_chain_from_archive_to_row():
    assert {word for command in COMMANDS for word in command.split() if word.endswith(".zip")} == {
        "SYSU-MM01.zip",
        "RegDB.zip",
        "LLCM.zip",
    }
    assert [command.split()[0] for command in COMMANDS].count("published") >= 4


def test_the_configurations_are_shipped():
    named = set(re.findall(r"--config-file (\w+) ", SCRIPTS))
    assert named and named <= SHIPPED


def test_every_configuration_key_exists():
    words = re.findall(r"`([^`\n]+)`", PAGE)
    keys = {word for word in words if re.fullmatch(r"(model|data|sampler|train|loss|test)\.[a-z_0-9.]+", word)}
    keys -= {"train.log", "test.py"}
    assert len(keys) > 20
    assert keys <= set(config.keys(config.defaults()))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.dataset} {row.setting}")
def test_the_table_holds_the_programs_rows(row):
    start = f"| {row.dataset} | {row.setting} | {row.method} | {row.mean['rank1']:.2f} | {row.mean['mAP']:.2f} | "
    mINP = f"{row.mean['mINP']:.2f}" if "mINP" in row.mean else "-"
    [line] = [line for line in PAGE.splitlines() if line.startswith(start)]
    assert line.startswith(f"{start}{mINP} | {row.source} | ")
    recipe = f"`{row.recipe}`{', step-equal' if row.step_equal else ''}" if row.recipe else "-"
    assert line.endswith(f"| {recipe} |")


def test_the_table_holds_no_other_rows():
    assert len(re.findall(r"^\| (?:sysu_mm01|regdb|llcm|rgbnt201|rgbnt100|msvr310) \|", PAGE, re.MULTILINE)) == len(
        ROWS
    )
