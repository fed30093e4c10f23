"""Addresses on the hub, answered by a server on this machine, and folders in the hub's layout."""

import hashlib
import json

import pytest
import torch

from tests.hub_server import COMMIT, NAME, point_to, serving
from torchreid_rgbir.files import checkpoint, hub
from torchreid_rgbir.files.download import fetch, is_remote

pytest.importorskip("huggingface_hub")
safetensors_torch = pytest.importorskip("safetensors.torch")

WEIGHTS = {"gem.p": torch.tensor([3.0])}


def content(weights=None):
    saved = safetensors_torch.save(weights or WEIGHTS)
    about = {"model": {"name": "own"}, "config": {"test": {"flip": True}}, "sha256": hashlib.sha256(saved).hexdigest()}
    return {hub.CONFIG: json.dumps(about).encode(), hub.WEIGHTS: saved}


@pytest.fixture
def server(monkeypatch, tmp_path):
    with serving(monkeypatch, tmp_path / "cache") as server:
        server.files = content()
        yield server


def test_a_model_is_downloaded_once(server):
    state = checkpoint.load(f"hf://{NAME}")
    assert torch.equal(state["state_dict"]["gem.p"], WEIGHTS["gem.p"])
    assert state["about"]["config"] == "test:\n  flip: true\n" and state["about"]["model"] == {"name": "own"}
    assert hub.download(f"hf://{NAME}").name == COMMIT
    files = [path for method, path in server.requests if method == "GET" and "/resolve/" in path]
    assert len(files) == 2, server.requests


@pytest.mark.parametrize("revision", ["main", "v1", COMMIT])
def test_a_revision_is_requested_and_its_commit_gives_both_files(server, revision):
    assert fetch(f"hf://{NAME}@{revision}").name == COMMIT
    assert f"/{NAME}/resolve/{revision}/config.json" in [path for _, path in server.requests]
    assert {path for _, path in server.requests if path.endswith(hub.WEIGHTS)} == {
        f"/{NAME}/resolve/{COMMIT}/{hub.WEIGHTS}"
    }


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://org/absent", "hf://org/absent does not exist, or you have no access: check the name"),
        (f"hf://{NAME}@v9", "hf://org/night has no revision v9: give a branch, a tag or a commit"),
        ("hf://night", "hf://night is not an address on the hub: write hf://ORG/NAME"),
        (f"hf://{NAME}#size=3", "is not an address on the hub"),
        (f"hf://{NAME}#sha256={'0' * 64}", f"instead of {'0' * 64} in the address: delete"),
    ],
)
def test_a_wrong_address_is_refused_in_one_line(server, address, message):
    with pytest.raises(ValueError, match=message) as refused:
        checkpoint.load(address)
    assert "\n" not in str(refused.value)


def test_the_checksum_in_the_address_may_be_right(server):
    checksum = hashlib.sha256(server.files[hub.WEIGHTS]).hexdigest().upper()
    assert hub.download(f"hf://{NAME}#sha256={checksum}").name == COMMIT


def test_a_model_of_a_different_kind_is_refused(server):
    del server.files[hub.WEIGHTS]
    with pytest.raises(ValueError, match="hf://org/night lacks config.json or model.safetensors: give a model of"):
        hub.download(f"hf://{NAME}")


def test_weights_that_differ_from_the_configuration_are_refused(server):
    server.files[hub.WEIGHTS] = content({"gem.p": torch.tensor([4.0])})[hub.WEIGHTS]
    with pytest.raises(ValueError, match=r"model.safetensors has the checksum \w{64} instead of \w{64} in config.json"):
        checkpoint.load(f"hf://{NAME}")


def test_offline_only_the_cache_is_read(server, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="hf://org/night is not in the cache, and the hub is offline"):
        hub.download(f"hf://{NAME}")
    assert not server.requests
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.download(f"hf://{NAME}")
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.download(f"hf://{NAME}").name == COMMIT
    assert not server.requests


def test_without_a_network_the_cache_is_used(server, monkeypatch):
    folder = hub.download(f"hf://{NAME}")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its attempts
    point_to(monkeypatch, 9)
    assert hub.download(f"hf://{NAME}") == folder
    with pytest.raises(ValueError, match="hf://org/other is not in the cache, and the hub is offline or cannot be"):
        hub.download("hf://org/other")


@pytest.mark.parametrize("absent", [hub.CONFIG, hub.WEIGHTS])
def test_a_folder_that_is_not_a_model_is_refused(tmp_path, absent):
    for name, written in content().items():
        (tmp_path / name).write_bytes(written)
    assert checkpoint.load(tmp_path)["state_dict"].keys() == WEIGHTS.keys()
    (tmp_path / absent).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {absent}: give a checkpoint, or a folder of"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"config": {}}'])
def test_a_damaged_configuration_is_refused(tmp_path, text):
    for name, written in (content() | {hub.CONFIG: text.encode()}).items():
        (tmp_path / name).write_bytes(written)
    with pytest.raises(ValueError, match=r"config.json is damaged \(.*\): export or download the model again"):
        checkpoint.load(tmp_path)


def test_what_is_an_address():
    assert hub.is_address("hf://org/name") and is_remote("hf://org/name@v1#sha256=00")
    assert not hub.is_address("log/run") and not hub.is_address(None)
