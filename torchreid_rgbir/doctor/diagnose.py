"""Checks a data set on disk before hours of training: layout, identities, counts and every image; no outside source."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_rgbir import host
from torchreid_rgbir.data.broken_images import find_broken_images
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset
from torchreid_rgbir.data.images import is_image_name
from torchreid_rgbir.data.regdb import RegDB, list_splits
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01
from torchreid_rgbir.doctor.findings import Finding, check_permutations, check_test, check_training, listed
from torchreid_rgbir.doctor.official_counts import (
    GALLERY,
    LAYOUTS,
    QUERY,
    TEST_IDS,
    TRAIN_IDS,
    TRAIN_IR,
    TRAIN_RGB,
    Layout,
)
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.regdb import NUM_SPLITS
from torchreid_rgbir.synthetic.benchmark import RGBIRSynthetic
from torchreid_rgbir.synthetic.write import SUMMARY


@dataclass(frozen=True)
class Count:
    """How many of `what` there are, and how many there should be (None: nobody published that)."""

    what: str
    found: int
    expected: int | None


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found; `counts` is empty where the layout is too broken to count in."""

    dataset: str
    folder: Path
    synthetic: bool
    num_images: int  # opened and decoded
    counts: tuple[Count, ...]
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        return not any(finding.problem for finding in self.findings)


def diagnose(dataset: str, root: str | os.PathLike[str], progress: bool = False) -> Diagnosis:
    """Checks a data set on disk; every image is decoded, in parallel.

    Args:
        dataset: sysu_mm01, regdb (all ten splits), llcm, rgbir_folder, rgbir_synthetic (which is not drawn here), or one that
            `register_dataset` added.
        root: its folder, or the one that holds it under its official name.
        progress: shows a bar while images are opened, if standard error is a terminal.

    Raises:
        ValueError: an unknown data set.
        FileNotFoundError: there is no such folder.
    """
    layout = LAYOUTS.get(dataset) or _own_layout(dataset)
    top = Path(os.path.abspath(os.path.expanduser(root)))  # without "..", so that one file has one path
    if not top.is_dir():
        raise FileNotFoundError(f"{top} is not a folder: give the folder of the data set, or the one that holds it")
    name = layout.adapter.folder
    folder = top / name if name and (top / name).is_dir() else top

    splits, findings = _load(layout.adapter, folder)
    loaded = not any(finding.problem for finding in findings)
    used = {item.impath for split in splits.values() for item in (*split.train, *split.query, *split.gallery)}
    files = {str(path) for name in layout.image_folders for path in _walk(folder / name)} | used
    if files:  # else the layout is broken as a whole
        findings += _check_cameras(folder, layout.camera_folders, files)
    expected, synthetic = _expected_counts(folder, layout)
    counts = _count(splits, expected)
    findings += _compare(counts, synthetic, layout.mend)
    for number, split in splits.items():
        findings += check_training(_label(number), split)
        findings += check_test(_label(number), split)
        if isinstance(split, SYSUMM01):
            findings += check_permutations(split)
    images = sorted(path for path in files if path in used or is_image_name(os.path.basename(path)))
    findings += _check_images(images, used if loaded else set(images), progress)
    findings += listed(False, "file", "other than images: never read", sorted(files.difference(images)))
    findings.sort(key=lambda finding: not finding.problem)
    return Diagnosis(dataset, folder, synthetic, len(images), tuple(counts), tuple(findings))


def _own_layout(dataset: str) -> Layout:
    adapter = host.find_image_dataset(dataset) or object
    if not issubclass(adapter, CrossModalImageDataset):
        raise ValueError(
            f"unknown data set {dataset!r}: choose from {', '.join(LAYOUTS)}, or name your own with --import FILE.py"
        )
    return Layout(adapter, image_folders=())


def _load(
    adapter: type[CrossModalImageDataset], folder: Path
) -> tuple[dict[int, CrossModalImageDataset], list[Finding]]:
    """Every split that loads, by its official number (0: the only one), and why the others do not."""
    splits: dict[int, CrossModalImageDataset] = {}
    findings = []
    failed: dict[str, dict[int, str]] = {}  # what is wrong, or the image that is missing -> split -> its message
    arguments: dict[int, dict[str, Any]] = {0: {}}
    if adapter is RGBIRSynthetic:
        arguments[0]["write"] = False
    if adapter is RegDB and (there := list_splits(folder)):
        arguments = {split: {"split_id": split - 1} for split in there}
        missing = [str(split) for split in range(1, NUM_SPLITS + 1) if split not in there]
        if missing:
            text = f"idx/ has no split {', '.join(missing)}: published numbers are means of {NUM_SPLITS} splits, get the official lists"
            findings.append(Finding(False, text))
    for number, options in arguments.items():
        try:
            splits[number] = adapter(root=str(folder), verbose=False, **options)
        except (ValueError, OSError) as error:
            failed.setdefault(str(error).partition(" is missing")[0], {})[number] = str(error)
    for messages in failed.values():
        # An image that is missing is missing in a list of every split.
        first, *others = messages.values()
        findings.append(Finding(True, f"{_label(*messages)}{first}", tuple(others)))
    return splits, findings


def _label(*numbers: int) -> str:
    return f"split {', '.join(map(str, numbers))}: " if all(numbers) else ""


def _walk(folder: Path) -> Iterable[Path]:
    return (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)


def _check_cameras(folder: Path, cameras: Sequence[str], files: set[str]) -> list[Finding]:
    with_images = {
        str(parent) for path in files if is_image_name(os.path.basename(path)) for parent in Path(path).parents
    }
    empty = [camera for camera in cameras if str(folder / camera) not in with_images]
    return listed(True, "camera folder", "without any image: unpack the data set again", empty)


def _expected_counts(folder: Path, layout: Layout) -> tuple[dict[str, int], bool]:
    """The counts there should be, and whether a synthetic set states them itself (those of the synthetic benchmark are published)."""
    path = folder / SUMMARY
    if not path.is_file() or layout.adapter is RGBIRSynthetic:
        return layout.published or {}, False
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        return {TRAIN_IDS: int(stated["num_train_ids"]), TEST_IDS: int(stated["num_test_ids"])}, True
    except (ValueError, KeyError, TypeError):
        return {}, True


def _count(splits: dict[int, CrossModalImageDataset], expected: dict[str, int]) -> list[Count]:
    alike: dict[tuple[int, ...], list[int]] = {}  # the splits by their counts: RegDB's ten are one row
    for number, split in splits.items():
        found = (
            split.get_num_pids(split.train),
            sum(item.modality == RGB for item in split.train),
            sum(item.modality == IR for item in split.train),
            split.get_num_pids([*split.query, *split.gallery]),
            len(split.query),
            len(split.gallery),
        )
        alike.setdefault(found, []).append(number)
    names = (TRAIN_IDS, TRAIN_RGB, TRAIN_IR, TEST_IDS, QUERY, GALLERY)
    return [
        Count(("each split: " if len(numbers) == NUM_SPLITS else _label(*numbers)) + what, number, expected.get(what))
        for found, numbers in alike.items()
        for what, number in zip(names, found, strict=True)
    ]


def _compare(counts: Sequence[Count], synthetic: bool, mend: str) -> list[Finding]:
    source = f"what {SUMMARY} states" if synthetic else "the published ones, so no score would compare"
    differing = tuple(
        f"{count.what}: {count.found} instead of {count.expected}"
        for count in counts
        if count.expected is not None and count.found != count.expected
    )
    mend = "write it again with `torchreid-rgbir synthesize`" if synthetic else mend
    return [Finding(not synthetic, f"counts differ from {source}: {mend}", differing)] if differing else []


def _check_images(paths: Sequence[str], used: set[str], progress: bool) -> list[Finding]:
    broken = find_broken_images(paths, progress)
    return [
        *listed(
            True,
            "image",
            "that cannot be read: replace, or take out of the data set",
            [error for path, error in broken.items() if path in used],
        ),
        *listed(
            False,
            "image",
            "that no list names and that cannot be read",
            [error for path, error in broken.items() if path not in used],
        ),
    ]
