"""What the doctor finds in the lists of a data set: training identities, test identities, permutation file."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.folder import RGBIRFolder
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01
from torchreid_rgbir.metrics.features import GALLERY_ONLY
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.permutations import read_permutations


@dataclass(frozen=True)
class Finding:
    """A fact to report. A `problem` would spoil the training or its score. `text` says what and what to do, `details` where."""

    problem: bool
    text: str
    details: tuple[str, ...] = ()


def listed(problem: bool, thing: str, text: str, details: Sequence[str], label: str = "") -> list[Finding]:
    """A finding whose text begins with the number of details; no finding if there are none."""
    return [Finding(problem, f"{label}{number_of(len(details), thing)} {text}", tuple(details))] if details else []


def number_of(count: int, thing: str) -> str:
    plural = thing.removesuffix("y") + "ies" if thing.endswith("y") else f"{thing}s"
    return f"{count} {thing if count == 1 else plural}"


def check_training(label: str, split: CrossModalImageDataset) -> list[Finding]:
    """Identities that training excludes. `label` begins every text ("split 3: ")."""
    findings = []
    seen = _first_images(split.train)
    for modality, has, lacks in ((RGB, "RGB", "IR"), (IR, "IR", "RGB")):
        text = f"with {has} images only, which training excludes: add {lacks} images, or remove the identity"
        alone = [_identity_folder(split, images[modality]) for images in seen.values() if set(images) == {modality}]
        findings += listed(True, "training identity", text, alone, label)
    if sum(len(images) == 2 for images in seen.values()) < 2:
        text = f"{label}fewer than 2 training identities have both modalities: a batch needs 2, add data"
        findings.append(Finding(True, text))
    return findings


def check_test(label: str, split: CrossModalImageDataset) -> list[Finding]:
    """Queries without a match under the protocol, identities without a query, and identities that are trained on."""
    labels = split.test_labels().without_junk()
    query = [item for item in split.query if item.pid >= 0 and item.role != GALLERY_ONLY]
    gallery = labels.gallery(RGB)
    matched = {
        (pid, camid): bool(((gallery.pids == pid) & ~split.protocol.ignored(pid, camid, gallery)).any())
        for pid, camid in {(item.pid, item.camid) for item in query}
    }
    unmatched = [item for item in query if not matched[item.pid, item.camid]]
    findings = []
    if unmatched:
        text = f"{label}{len(unmatched)} of {number_of(len(query), 'query image')} without a match in the gallery: not counted"
        is_all = len(unmatched) == len(query)
        if is_all:
            text += ", so nothing can be scored"
        if {item.pid for item in unmatched} <= set(gallery.pids.tolist()):
            text += (
                ". The gallery has images of these identities, but only from the query's own camera, which the protocol "
                "ignores: give RGB and IR cameras different numbers"
            )
        elif is_all:
            text += ": give the identities of test/ the same names or numbers in both modalities"
        folders = dict.fromkeys(_identity_folder(split, item) for item in unmatched)
        findings.append(Finding(is_all, text, tuple(folders)))
    tested = _first_images(item for item in (*split.query, *split.gallery) if item.pid >= 0)
    alone = [_identity_folder(split, images[RGB]) for images in tested.values() if set(images) == {RGB}]
    findings += listed(False, "test identity", "with RGB images only, for which there is no IR query", alone, label)
    junk = [item.impath for item in (*split.junk, *split.query, *split.gallery) if item.pid < 0]
    findings += listed(False, "junk image", "(negative identity): neither training nor test uses them", junk, label)
    if isinstance(split, RGBIRFolder):
        both = sorted(set(split.train_names) & set(split.test_names))
        text = "in train/ and in test/: if it is the same person, scores are too high, so remove it from one of them"
        findings += listed(False, "identity name", text, both, label)
    return findings


def _first_images(items: Iterable[Item]) -> dict[int, dict[int, Item]]:
    """Identity -> modality -> its first image."""
    seen: dict[int, dict[int, Item]] = {}
    for item in items:
        seen.setdefault(item.pid, {}).setdefault(item.modality, item)
    return seen


def _identity_folder(split: CrossModalImageDataset, item: Item) -> str:
    return os.path.relpath(os.path.dirname(item.impath), split.dataset_dir)


def check_permutations(split: SYSUMM01) -> list[Finding]:
    """Folders whose number of images differs from the file that samples the official trials."""
    path = split.dataset_dir / "exp" / "rand_perm_cam.mat"
    instead = "or test with test.sampling agw"
    try:
        tables = read_permutations(path)
    except (ValueError, OSError) as error:
        return [Finding(True, f"{error}, {instead}")]
    held = Counter((item.camid, item.pid) for item in (*split.query, *split.gallery))
    sampled = {(camid, pid): table.shape[1] for camid, cells in tables.items() for pid, table in cells.items()}
    test_ids = {pid for _, pid in held}
    differing = [
        f"cam{camid}/{pid:04d}: {number_of(held[camid, pid], 'image')}, {sampled.get((camid, pid), 0)} in the file"
        for camid, pid in sorted({*held, *sampled})
        if pid in test_ids and held[camid, pid] != sampled.get((camid, pid), 0)
    ]
    text = f"unlike {path}, from which the official trials are sampled: get the official files, {instead}"
    return listed(True, "folder", text, differing)
