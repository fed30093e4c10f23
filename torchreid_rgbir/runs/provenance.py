"""Provenance of a result: versions, command line, code revision, data and configuration."""

import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from torchreid_rgbir.data.cross_modal import Item
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine.metadata import versions as versions


def device_name() -> str:
    """Returns the name of the device that computes."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {platform.machine()}, {torch.get_num_threads()} threads"


def provenance(cfg: CfgNode, datamanager: CrossModalDataManager, seconds: float) -> dict[str, Any]:
    """Returns what results.json stores so that the run can be repeated. `seconds` includes the parts that it resumed."""
    train: Any = datamanager.train_loader.dataset
    data = {"train": fingerprint(train.train)}
    for name, loaders in datamanager.test_loader.items():
        data[name] = fingerprint(item for loader in loaders.values() for item in loader.dataset.data)
        if version := loaders["query"].dataset.version:
            data[name]["version"] = version
    return {
        "command": sys.argv,
        "git": git_revision(Path(__file__)),
        "device": torch.cuda.get_device_name() if datamanager.use_gpu else "cpu",
        "configuration": dict(cfg),
        "data": data,
        "num_left_out": len(datamanager.left_out),  # images that cannot be read
        "batches_per_epoch": len(datamanager.sampler),
        "seconds": round(seconds, 1),
    }


def fingerprint(items: Iterable[Item]) -> dict[str, Any]:
    """Counts the files and hashes their names with identity, camera and modality, wherever the data set is."""
    lines = sorted(f"{Path(i.impath).parent.name}/{Path(i.impath).name} {i.pid} {i.camid} {i.modality}" for i in items)
    return {"num_files": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode(errors="replace")).hexdigest()}


def git_revision(file: Path) -> str | None:
    """Returns the commit of the checkout that `file` is in, with "+changes" if files differ from it, or None.

    A package that is installed in a virtual environment inside a different checkout does not belong to that checkout.
    """
    try:
        _git(file.parent, "ls-files", "--error-unmatch", file.name)
        return _git(file.parent, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
