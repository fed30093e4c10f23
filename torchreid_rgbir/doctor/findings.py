"""What the doctor finds in a data set that loads: its training identities, its test identities, its permutation file."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01
from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.protocols.permutations import read_permutations


@dataclass(frozen=True)
class Finding:
    """One thing to know. `problem`: training or its score would go wrong. `text` says what it is and what to do, `details` where."""

    problem: bool
    text: str
    details: tuple[str, ...] = ()


def listed(problem: bool, thing: str, text: str, details: Sequence[str], label: str = "") -> list[Finding]:
    """A finding that counts its details, the things; none where there are none."""
    return [Finding(problem, f"{label}{number_of(len(details), thing)} {text}", tuple(details))] if details else []


def number_of(count: int, thing: str) -> str:
    plural = thing.removesuffix("y") + "ies" if thing.endswith("y") else f"{thing}s"
    return f"{count} {thing if count == 1 else plural}"


def check_training(label: str, split: CrossModalImageDataset) -> list[Finding]:
    """Identities that training leaves out. `label` begins every text ("split 3: ")."""
    findings = []
    seen = _first_images(split.train)
    for modality in (RGB, IR):
        findings += listed(
            True,
            "training identity",
            f"with {NAMES[modality].upper()} images only, which training leaves out: "
            f"add {NAMES[1 - modality].upper()} images, or take it out of training",
            [_identity_folder(split, images[modality]) for images in seen.values() if set(images) == {modality}],
            label,
        )
    if sum(len(images) == 2 for images in seen.values()) < 2:
        text = f"{label}fewer than 2 training identities have both modalities: a batch needs 2, add data"
        findings.append(Finding(True, text))
    return findings


def check_test(label: str, split: CrossModalImageDataset) -> list[Finding]:
    """Queries that the protocol finds no match for, and identities that no query asks for."""
    pids, camids, modalities = (
        np.array([getattr(item, key) for item in split.gallery]) for key in ("pid", "camid", "modality")
    )
    gallery = TestFeatures(np.zeros((len(pids), 1)), pids, camids, modalities)
    matched = {
        (pid, camid): bool(((pids == pid) & ~split.protocol.ignored(pid, camid, gallery)).any())
        for pid, camid in {(item.pid, item.camid) for item in split.query}
    }
    unmatched = [item for item in split.query if not matched[item.pid, item.camid]]
    findings = []
    if unmatched:
        text = f"{label}{len(unmatched)} of {number_of(len(split.query), 'query image')} without a match in the gallery: not counted"
        if len(unmatched) == len(split.query):
            text += ", so nothing can be scored: name or number the identities of test alike in both modalities"
        folders = dict.fromkeys(_identity_folder(split, item) for item in unmatched)
        findings.append(Finding(len(unmatched) == len(split.query), text, tuple(folders)))
    never_asked = [
        _identity_folder(split, images[RGB])
        for images in _first_images([*split.query, *split.gallery]).values()
        if set(images) == {RGB}
    ]
    findings += listed(False, "test identity", "with RGB images only, which no IR query asks for", never_asked, label)
    return findings


def _first_images(items: Iterable[Item]) -> dict[int, dict[int, Item]]:
    """Identity -> modality -> the first image of it."""
    seen: dict[int, dict[int, Item]] = {}
    for item in items:
        seen.setdefault(item.pid, {}).setdefault(item.modality, item)
    return seen


def _identity_folder(split: CrossModalImageDataset, item: Item) -> str:
    return os.path.relpath(os.path.dirname(item.impath), split.dataset_dir)


def check_permutations(split: SYSUMM01) -> list[Finding]:
    """The official trials number the images of a folder; another number of images there means other trials."""
    path = split.dataset_dir / "exp" / "rand_perm_cam.mat"
    instead = "or test with test.sampling agw"
    try:
        tables = read_permutations(path)
    except (ValueError, OSError) as error:
        return [Finding(True, f"{error}, {instead}")]
    held = Counter((item.camid, item.pid) for item in (*split.query, *split.gallery))
    drawn = {(camid, pid): table.shape[1] for camid, cells in tables.items() for pid, table in cells.items()}
    test_ids = {pid for _, pid in held}
    differing = [
        f"cam{camid}/{pid:04d}: {number_of(held[camid, pid], 'image')}, {drawn.get((camid, pid), 0)} in the file"
        for camid, pid in sorted({*held, *drawn})
        if pid in test_ids and held[camid, pid] != drawn.get((camid, pid), 0)
    ]
    text = f"unlike {path}, which draws the official trials: get the official files, {instead}"
    return listed(True, "folder", text, differing)
