"""The layout of the package: which folder may import which, no import cycles, and no module too long to read.

Every import counts: at the top of a module, inside a function, under TYPE_CHECKING, and of code that needs an extra.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

import torchreid_rgbir

PACKAGE = Path(torchreid_rgbir.__file__).parent
MAX_LINES = 260
MAX_TOP_LEVEL = 8

# A module imports its own folder, its own row and the rows above it. Nothing imports a row below.
ORDER = [
    {"modality", "extras", "host", "files", "terminal", "distributed"},
    {"metrics"},
    {"protocols"},
    {"data"},
    {"models"},
    {"losses"},
    {"synthetic"},
    {"doctor"},
    {"retrieval"},
    {"visual"},
    {"demo"},
    {"export"},
    {"config"},
    {"engine"},
    {"runs"},
    {"integration"},
    {"__init__"},
    {"benchmark"},
    {"commands", "cli", "__main__"},
]
ROW = {name: number for number, row in enumerate(ORDER) for name in row}


def module_name(path: Path) -> str:
    """`data.sampler` for data/sampler.py, `data` for data/__init__.py, and an empty string for the package's own face."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(module: str) -> set[str]:
    """The modules of the package that a module names in its import statements."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{MODULES[module]}, line {node.lineno}: write the import from torchreid_rgbir on"
            # The package's face sets the version in its first line, before it imports anything.
            names = [f"{node.module}.{alias.name}" for alias in node.names if alias.name != "__version__"]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == PACKAGE.name:
                found.add(rest if rest in MODULES else rest.rpartition(".")[0])
    return found - {module}


GRAPH = {module: imports(module) for module in MODULES}


def folder(module: str) -> str:
    return module.partition(".")[0] or "__init__"


def test_the_top_level_has_few_modules():
    top_level = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(top_level) <= MAX_TOP_LEVEL, top_level


def test_every_folder_has_a_place_in_the_order():
    assert {folder(module) for module in MODULES} == ROW.keys()


@pytest.mark.parametrize("name", sorted(ROW))
def test_imports_between_folders_go_one_way(name):
    backward = [
        f"{module or '__init__'} imports {target or '__init__'}"
        for module in MODULES
        if folder(module) == name
        for target in sorted(GRAPH[module])
        if ROW[folder(target)] > ROW[name]
    ]
    assert not backward


def test_there_is_no_import_cycle():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(module or "__init__" for module in reversed(error.args[1])))


def test_no_module_is_too_long():
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    sizes = [count for module, count in lines.items() if MODULES[module].name != "__init__.py"]
    small = sum(count < 30 for count in sizes)
    print(
        f"\n{len(lines)} modules, {sum(lines.values())} lines; without package faces: median {median(sizes):g}, "
        f"largest {max(sizes)}, {small} under 30 lines"
    )
    assert not {module: count for module, count in lines.items() if count > MAX_LINES}
