import pickle

import numpy as np
import pytest
import torch
from torch import nn

from torchreid_rgbir import host
from torchreid_rgbir.engine import checkpoint


class Net(nn.Module):
    def __init__(self, num_classes=3, width=4):
        super().__init__()
        self.body = nn.Linear(2, width)
        self.classifier = nn.Linear(width, num_classes, bias=False)


def test_round_trip_leaves_one_file(tmp_path):
    path = tmp_path / "model" / "model.pth.tar-1"
    model = Net()
    checkpoint.save({"state_dict": model.state_dict(), "rank1": 0.5}, path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
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
    assert len(list(tmp_path.iterdir())) == 1


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
        (lambda state: state.update({"body.weight": torch.zeros(7, 2)}), r"body.weight is \(7, 2\) there and \(4, 2\)"),
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
    with pytest.raises(ValueError, match="it would run code"):
        checkpoint.load(tmp_path / "evil")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("cut", [0, 1, 100, 0.5, 0.9])
def test_a_file_cut_short(tmp_path, cut):
    path = tmp_path / "cut"
    checkpoint.save({"state_dict": Net(width=500).state_dict()}, path)
    data = path.read_bytes()
    path.write_bytes(data[: cut if isinstance(cut, int) else int(len(data) * cut)])
    with pytest.raises(ValueError, match="damaged or no checkpoint|no checkpoint of weights"):
        checkpoint.load(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        checkpoint.load(tmp_path / "nowhere")
