"""Every reader of files, given any bytes at all, answers with a value or with one clear line."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from torchreid_rgbir import config
from torchreid_rgbir.config import checks
from torchreid_rgbir.data.image_list import read_image_list
from torchreid_rgbir.data.sysu_mm01 import read_ids
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.metrics.features import load_features
from torchreid_rgbir.protocols.matfile import read_variable

KEYS = config.keys(config.defaults())
WORDS = [
    "[",
    "]",
    "{",
    "}",
    ":",
    "- ",
    "\n",
    "&a",
    "*a",
    "!!int ",
    "'",
    '"',
    "%",
    "|",
    ">",
    "?",
    "@",
    "2001-99-99",
    "0x",
    "~",
]


def features_file():
    file = io.BytesIO()
    columns = dict(pids=[1, 2], camids=[1, 3], modalities=[0, 1], image_numbers=[1, 1])
    np.savez(file, features=np.eye(2), **{name: np.array(column) for name, column in columns.items()})
    return file.getvalue()


def mat_file():
    file = io.BytesIO()
    cells = np.empty((2, 1), object)
    cells[:, 0] = [np.arange(6).reshape(2, 3), np.zeros((0, 0))]
    scipy.io.savemat(file, {"rand_perm_cam": cells}, do_compression=True)
    return file.getvalue()


READERS = {
    "configuration": (lambda path: config.load(str(path)), ".yaml", b"train: {lr: 0.1, stepsize: [1, 2]}\nmodel:\n  name: dual_resnet18\n"),
    "identities": (read_ids, ".txt", b"1,2,3,14,15\n"),
    "image list": (lambda path: read_image_list(path, path.parent), ".txt", b"Visible/1/a.bmp 0\nVisible/2/b.bmp 1\n"),
    "features": (load_features, ".npz", features_file()),
    "permutations": (lambda path: read_variable(path, "rand_perm_cam"), ".mat", mat_file()),
    "checkpoint": (checkpoint.load, ".pth.tar", b"\x80\x02}q\x00X\x05\x00\x00\x00epochq\x01K\x03s."),
}  # fmt: skip


@st.composite
def damaged(draw, whole):
    """Any bytes, or a whole file with some bytes replaced, cut out or put in."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=300))
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(data)


@pytest.mark.parametrize("kind", READERS)
def test_any_bytes_give_a_value_or_one_line(kind, tmp_path):
    read, suffix, whole = READERS[kind]
    path = tmp_path / f"a{suffix}"

    @settings(deadline=None, max_examples=150)
    @given(damaged(whole))
    def check(data):
        path.write_bytes(data)
        try:
            read(path)
        except (ValueError, OSError) as error:
            assert "\n" not in str(error) and str(error), repr(error)
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]

    check()


@settings(deadline=None, max_examples=100)
@given(
    key=st.sampled_from(KEYS) | st.text(max_size=10),
    text=st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=6).map("".join),
)
def test_any_words_on_the_command_line_are_a_configuration_or_one_line(key, text):
    cfg = config.defaults()
    before = cfg.dump()
    try:
        config.override(cfg, [key, text])
        checks.check(cfg)
    except (ValueError, OSError) as error:
        assert "\n" not in str(error) and str(error)
    else:
        assert type(config.get(cfg, key)) is type(config.get(config.load(), key))
    assert config.defaults().dump() == before


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        "2001-99-99",
        "!!int",
        "!!float",
        "!!timestamp x",
        "a: &x [*x]",
        "\x00",
        "? [1]\n: 2",
        "train: {lr: 2001-99-99}",
    ],
)
def test_yaml_that_trips_its_parser(text, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError) as error:
        config.load(str(tmp_path / "a.yaml"))
    assert str(tmp_path / "a.yaml") in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["train.lr", "loss.mso.weight_id"])
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_a_number_that_is_none_is_refused(key, value):
    with pytest.raises(ValueError, match=key):
        checks.check(config.override(config.defaults(), [key, value]))


def test_a_compressed_variable_may_not_grow_without_end(tmp_path):
    bomb = zlib.compress(bytes(2**29), 9)
    header = b" " * 124 + b"\x00\x01IM"
    (tmp_path / "a.mat").write_bytes(header + struct.pack("<II", 15, len(bomb)) + bomb)
    with pytest.raises(ValueError):
        read_variable(tmp_path / "a.mat", "rand_perm_cam")
