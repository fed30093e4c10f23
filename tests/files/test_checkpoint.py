import os
import pickle
import resource
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from torchreid_rgbir import host
from torchreid_rgbir.files import checkpoint


class Net(nn.Module):
    def __init__(self, num_classes=3, width=4):
        super().__init__()
        self.body = nn.Linear(2, width)
        self.classifier = nn.Linear(width, num_classes, bias=False)


def test_round_trip_leaves_one_file(tmp_path):
    path = tmp_path / "model" / "model.pth.tar-1"
    model = Net()
    checkpoint.save({"state_dict": model.state_dict(), "rank1": 0.5}, path)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["SHA256SUMS", path.name]
    assert torch.load(path, weights_only=True)["rank1"] == 0.5
    again = Net()
    assert checkpoint.load_weights(again, path) == []
    assert all(torch.equal(again.state_dict()[key], value) for key, value in model.state_dict().items())


def test_a_failed_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "model.pth.tar-1"
    checkpoint.save({"epoch": 1}, path)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        checkpoint.save({"epoch": 2, "bad": lambda: None}, path)
    assert checkpoint.load(path) == {"epoch": 1}
    assert len(list(tmp_path.iterdir())) == 2  # it and the checksums


def test_other_identities_leave_the_classifier_alone(tmp_path):
    path = tmp_path / "weights"
    theirs, ours = Net(num_classes=3), Net(num_classes=5)
    before = ours.classifier.weight.clone()
    checkpoint.save({"state_dict": {f"module.{key}": value for key, value in theirs.state_dict().items()}}, path)
    assert checkpoint.load_weights(ours, path) == ["classifier.weight"]
    assert torch.equal(ours.body.weight, theirs.body.weight)
    assert torch.equal(ours.classifier.weight, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("body.bias"), "lacks body.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "has no extra"),
        (
            lambda state: state.update({"body.weight": torch.zeros(7, 2)}),
            r"body.weight is \(7, 2\) in the file and \(4, 2\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_an_error_that_changes_nothing(tmp_path, change, message):
    state = Net().state_dict()
    change(state)
    checkpoint.save({"state_dict": state}, tmp_path / "weights")
    model = Net()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        checkpoint.load_weights(model, tmp_path / "weights")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_stock_checkpoints_hold_a_numpy_scalar_and_are_read(tmp_path):
    torch.save({"state_dict": Net().state_dict(), "rank1": np.float32(0.25)}, tmp_path / "stock")
    assert checkpoint.load(tmp_path / "stock")["rank1"] == 0.25


def test_a_stock_engines_own_file_is_read(tmp_path):
    host.utils.save_checkpoint(
        {"state_dict": Net().state_dict(), "epoch": 3, "rank1": np.mean([0.5, 1.0])}, str(tmp_path)
    )
    assert checkpoint.load(tmp_path / "model.pth.tar-3")["rank1"] == 0.75


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_in_a_file_is_executed(tmp_path, capsys):
    torch.save({"state_dict": Evil()}, tmp_path / "evil")
    with pytest.raises(
        ValueError, match="not a checkpoint of weights .it would run print, which is not allowed.: give"
    ):
        checkpoint.load(tmp_path / "evil")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("cut", [0, 1, 100, 0.5, 0.9])
def test_a_file_cut_short(tmp_path, cut):
    path = tmp_path / "cut"
    checkpoint.save({"state_dict": Net(width=500).state_dict()}, path)
    data = path.read_bytes()
    path.write_bytes(data[: cut if isinstance(cut, int) else int(len(data) * cut)])
    with pytest.raises(
        ValueError, match="damaged .its checksum differs from SHA256SUMS.: use the checkpoint before it"
    ):
        checkpoint.load(path)
    (tmp_path / "SHA256SUMS").unlink()  # as a file that was copied here
    with pytest.raises(ValueError, match="damaged or not a checkpoint|not a checkpoint of weights"):
        checkpoint.load(path)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_noticed(tmp_path, place, bit):
    path = tmp_path / "model.pth.tar-1"
    checkpoint.save({"state_dict": Net().state_dict()}, path)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load(path)


def test_the_checksums_are_those_of_the_tool_of_that_name(tmp_path):
    for epoch in (1, 2, 2):
        checkpoint.save({"epoch": epoch}, tmp_path / f"model.pth.tar-{epoch}")
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count(": OK") == 2


@pytest.mark.parametrize("step", [1, 2, 3])
def test_whoever_is_killed_while_replacing_a_checkpoint_leaves_one_that_reads(tmp_path, monkeypatch, step):
    """Three files change in turn: the checksums lose the old one's, the checkpoint, the checksums get the new one's."""
    path = tmp_path / "model.pth.tar-1"
    checkpoint.save({"epoch": 1}, path)
    renames, replace = [], os.replace

    def killed(source, target):
        renames.append(target)
        if len(renames) == step:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save({"epoch": 2}, path)
    assert checkpoint.load(path) == {"epoch": 2 if step == 3 else 1}
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path):
    path = tmp_path / "model.pth.tar-1"
    checkpoint.save({"epoch": 1}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"model.pth.tar-1 cannot be written \(File too large\): make room"):
            checkpoint.save({"epoch": 2, "weights": torch.zeros(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoint.load(path) == {"epoch": 1}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["SHA256SUMS", "model.pth.tar-1"]


def test_partial_weights_are_listed_and_loaded_if_allowed(tmp_path):
    state = Net().state_dict()
    weight = state["body.weight"]
    del state["body.bias"], state["classifier.weight"]
    checkpoint.save({"state_dict": state | {"extra": torch.zeros(1)}}, tmp_path / "weights")
    model = Net()
    with pytest.raises(ValueError, match=r"it lacks body.bias, the model has no extra.*model.allow_partial"):
        checkpoint.load_weights(model, tmp_path / "weights")
    assert checkpoint.load_weights(model, tmp_path / "weights", True) == ["body.bias", "classifier.weight"]
    assert torch.equal(model.body.weight, weight)


def test_weights_of_which_nothing_fits_are_an_error_even_so(tmp_path):
    checkpoint.save({"state_dict": {"other": torch.zeros(1)}}, tmp_path / "weights")
    with pytest.raises(ValueError, match="does not fit Net"):
        checkpoint.load_weights(Net(), tmp_path / "weights", allow_partial=True)


@pytest.mark.parametrize("state", [{"state_dict": 3}, {"state_dict": {"body.weight": 3}}, {"epoch": 1}])
def test_a_file_without_named_weights(tmp_path, state):
    checkpoint.save(state, tmp_path / "weights")
    with pytest.raises(ValueError, match="contains no weights: give the path"):
        checkpoint.load_weights(Net(), tmp_path / "weights")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        checkpoint.load(tmp_path / "nowhere")


def test_a_text_is_no_checkpoint(tmp_path):
    (tmp_path / "README.md").write_text("# Not weights\n")
    with pytest.raises(
        ValueError, match="README.md is not a checkpoint of weights: give the path of a checkpoint"
    ) as error:
        checkpoint.load(tmp_path / "README.md")
    assert "\n" not in str(error.value)


def test_an_error_of_torchs_own_stays_what_it_is(tmp_path, monkeypatch):
    def broken(state, file):
        raise RuntimeError("of its own")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(RuntimeError, match="of its own"):
        checkpoint.save({"epoch": 1}, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_list_is_no_checkpoint(tmp_path):
    torch.save([1, 2], tmp_path / "a")
    with pytest.raises(ValueError, match="a is not a checkpoint, it contains a list and no weights: give the path"):
        checkpoint.load(tmp_path / "a")


def test_a_damaged_tensor_is_noticed_without_a_checksum_beside_it(tmp_path):
    torch.save({"weights": torch.full((100,), 0.75)}, tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    place = data.index(torch.full((100,), 0.75).numpy().tobytes())
    (tmp_path / "a").write_bytes(data[:place] + b"\x01" + data[place + 1 :])
    with pytest.raises(ValueError, match="a is damaged or not a checkpoint .the checksum of .* is wrong"):
        checkpoint.load(tmp_path / "a")
