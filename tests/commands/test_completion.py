"""The completion scripts. The one for bash is run in bash."""

import shutil
import subprocess

import pytest

from torchreid_rgbir import cli, config
from torchreid_rgbir.commands import completion
from torchreid_rgbir.data.transforms import AUGMENTATIONS

PROBE = """
source {script}
COMP_WORDS=({words}) COMP_CWORD=$(({count} - 1)) COMP_LINE="{line}" COMP_POINT={point}
"$(complete -p torchreid-rgbir | sed -E 's/.*-F ([^ ]+).*/\\1/')" torchreid-rgbir
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """bash's."""
    if not shutil.which("bash"):
        pytest.skip("no bash")
    path = tmp_path_factory.mktemp("completion") / "script"
    with pytest.MonkeyPatch.context() as patch, open(path, "w") as file:
        patch.setattr("sys.stdout", file)
        assert cli.main(["completion", "bash"]) == 0
    return path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["torchreid-rgbir", ""], set(cli.COMMANDS)),
        (["torchreid-rgbir", "ex"], {"extract", "export"}),
        (["torchreid-rgbir", "evaluate", "--prot"], {"--protocol"}),
        (["torchreid-rgbir", "evaluate", "--protocol", ""], {"sysu_mm01", "regdb", "llcm", "standard"}),
        (["torchreid-rgbir", "extract", "--rgb", "pho"], {"photos"}),
        (["torchreid-rgbir", "gallery", "a"], {"add"}),
        (["torchreid-rgbir", "gallery", "add", "--mod"], {"--modality"}),
        (["torchreid-rgbir", "doctor", "--dataset", "s"], {"sysu_mm01"}),
        (["torchreid-rgbir", "train", "--root", "photos", "loss.pef.e"], {"loss.pef.entry"}),
        (["torchreid-rgbir", "train", "--qui"], {"--quiet"}),
    ],
)
def test_bash_offers(script, tmp_path, words, offered):
    (tmp_path / "photos").mkdir()
    line = " ".join(words)
    quoted = " ".join(f"'{word}'" for word in words)
    probe = PROBE.format(script=script, words=quoted, count=len(words), line=line, point=len(line))
    done = subprocess.run(["bash", "-c", probe], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {word.strip().rstrip("/") for word in done.stdout.splitlines()} - {""}
    assert offered <= found if words[-1] == "" else offered == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_with_every_command(shell, capsys):
    assert cli.main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in cli.COMMANDS)


def test_the_names_that_are_written_out_are_those_of_the_package():
    assert set(completion.KEYS) == set(config.keys(config.defaults()))
    assert set(completion.TRANSFORMS) == set(AUGMENTATIONS)
