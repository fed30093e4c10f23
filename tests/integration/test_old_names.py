"""Names that docs/api documented in 0.1.0 are importable from where they were."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from torchreid_rgbir.integration import old_names

DOCUMENTED = json.loads(Path(__file__).with_name("documented_names.json").read_text())


@pytest.mark.parametrize("module", DOCUMENTED)
def test_every_documented_name_is_importable_from_its_old_path(module):
    for name in DOCUMENTED[module]:
        names: dict = {}
        exec(f"from torchreid_rgbir.{module} import {name}", names)
        assert names[name] is not None


@pytest.mark.parametrize("old", old_names.MODULES)
def test_every_old_module_has_the_names_of_the_new_one(old):
    new = import_module(f"torchreid_rgbir.{old_names.MODULES[old]}")
    names = [name for name in vars(new) if not name.startswith("__")]
    assert names and all(getattr(import_module(f"torchreid_rgbir.{old}"), name) is getattr(new, name) for name in names)


OLD_STYLE = """
import torchreid_rgbir
torchreid_rgbir.stand_in.install, torchreid_rgbir.metrics.regdb.report
from torchreid_rgbir import train
train.train
import torchreid_rgbir.data.synthetic as synthetic
synthetic.synthesize
from torchreid_rgbir.metrics import sysu_mm01
sysu_mm01.report
from torchreid_rgbir.retrieval import Where
Where(cameras=[1])
import torchreid_rgbir.visual.ranked
torchreid_rgbir.visual.ranked.ranked_lists
"""


def test_old_imports_in_a_new_process():
    done = subprocess.run([sys.executable, "-c", OLD_STYLE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_name_that_never_existed_is_an_error_as_before():
    for statement in (
        "import torchreid_rgbir.nosuch",
        "from torchreid_rgbir.train import nosuch",
        "from torchreid_rgbir.retrieval import nosuch",
    ):
        with pytest.raises(ImportError, match="nosuch"):
            exec(statement)
