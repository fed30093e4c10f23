"""docs/method.md lists all claims, and every module, function, file and configuration key that it names exists."""

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest

import torchreid_rgbir
from torchreid_rgbir import config
from torchreid_rgbir.commands import visualize

REPOSITORY = Path(__file__).parents[2]
PACKAGE = Path(torchreid_rgbir.__file__).parent
PAGE = (REPOSITORY / "docs" / "method.md").read_text(encoding="utf-8")
CLAIMS = [
    line.strip("| ").split(" | ")
    for line in PAGE[PAGE.index("## Claims") :].splitlines()
    if re.match(r"\| \d+ \|", line)
]
WORDS = re.findall(r"`([^`\n]+)`", PAGE)


def names(path):
    """The names that a module defines; methods as Class.method."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


def test_all_24_claims_are_there_in_order():
    assert [int(row[0]) for row in CLAIMS] == list(range(1, 25))


@pytest.mark.parametrize("row", CLAIMS, ids=lambda row: f"claim {row[0]}")
def test_the_functions_that_implement_a_claim_exist(row):
    _, what, modules, *_ = row
    assert what
    where = re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", modules)
    assert where and len(where) == modules.count(".py`")
    for module, defined in where:
        assert set(re.findall(r"`([\w.]+)`", defined)) <= names(PACKAGE / module), module


def test_every_configuration_key_exists():
    keys = {word for word in WORDS if re.fullmatch(r"(model|data|sampler|train|loss|test)(\.[a-z_0-9]+)+", word)}
    keys -= {word for word in WORDS if word.endswith(".py")}
    assert len(keys) > 15
    assert keys <= set(config.keys(config.defaults()))


def test_every_file_exists():
    files = {word.partition("::")[0] for word in WORDS if re.fullmatch(r"[\w/]+\.(py|yaml)(::\w+)?", word)}
    assert len(files) > 20
    assert [name for name in files if not ((PACKAGE / name).is_file() or (REPOSITORY / name).is_file())] == []
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert {"pictures/architecture.svg", "pictures/stages.png"} <= set(links)
    assert [link for link in links if not (REPOSITORY / "docs" / link).is_file()] == []


def test_every_key_of_the_losses_is_on_the_page():
    keys = [
        key
        for key in config.keys(config.defaults())
        if key.startswith(("loss.mso.", "loss.pef.", "loss.cmcc.", "loss.wrt."))
    ]
    assert keys
    assert [key for key in keys if f"`{key}`" not in PAGE] == []


def test_its_command_and_its_imports_work():
    [command] = re.findall(r"```sh\ntorchreid-rgbir visualize (.*?)```", PAGE, re.DOTALL)
    parser = argparse.ArgumentParser()
    visualize.add_arguments(parser)
    assert parser.parse_args(shlex.split(command.replace("\\\n", " "))).untrained
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    compile(program, "docs/method.md", "exec")
    exec("\n".join(line for line in program.splitlines() if re.match("from|import", line)), {})
