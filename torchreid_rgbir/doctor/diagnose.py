"""Checks a data set on disk before a training: layout, identities, counts and every image. No outside source."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_rgbir import host
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset
from torchreid_rgbir.data.image_files import FoundFiles, find_files
from torchreid_rgbir.data.images import file_of, parse_ir_range
from torchreid_rgbir.data.regdb import RegDB, list_splits
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01
from torchreid_rgbir.doctor.findings import Finding, check_permutations, check_test, check_training, listed
from torchreid_rgbir.doctor.image_checks import check_depths, check_images, check_leaks, inspect_images
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
from torchreid_rgbir.files.paths import expand
from torchreid_rgbir.metrics.features import GALLERY_ONLY, QUERY_ONLY
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.regdb import NUM_SPLITS
from torchreid_rgbir.synthetic.benchmark import RGBIRSynthetic
from torchreid_rgbir.synthetic.write import SUMMARY


@dataclass(frozen=True)
class Count:
    """The number of `what` in the data set, and the expected number (None: not published)."""

    what: str
    found: int
    expected: int | None


@dataclass(frozen=True)
class Diagnosis:
    """The result of `diagnose`; `counts` is empty if the data set cannot be loaded."""

    dataset: str
    folder: Path
    synthetic: bool
    num_images: int  # opened and decoded
    counts: tuple[Count, ...]
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        return not any(finding.problem for finding in self.findings)


def diagnose(dataset: str, root: str | os.PathLike[str], progress: bool = False, ir_range: str = "auto") -> Diagnosis:
    """Checks a data set on disk; every image is decoded, several at a time.

    Args:
        dataset: a name in `LAYOUTS`, or one that `register_dataset` added. RegDB is checked with all ten splits, a set with
            three spectra with both infrared ones, and rgbir_synthetic is not written here.
        root: its folder, or the folder that contains it under its official name.
        progress: show a bar while images are opened, if standard error is a terminal.
        ir_range: `data.ir_range` of the training.

    Raises:
        ValueError: the data set or the `ir_range` is unknown.
        FileNotFoundError: there is no such folder.
    """
    layout = LAYOUTS.get(dataset) or _custom_layout(dataset)
    parse_ir_range(ir_range)
    top = expand(os.fspath(root))  # without "..", so that one file has one path
    if not top.is_dir():
        raise FileNotFoundError(f"{top} is not a folder: give the folder of the data set, or the one that contains it")
    name = layout.adapter.folder
    folder = top / name if name and (top / name).is_dir() else top

    splits, findings = _load(layout, folder)
    loaded = not any(finding.problem for finding in findings)
    lists = [(*split.train, *split.junk, *split.query, *split.gallery) for split in splits.values()]
    used = {item.impath for items in lists for item in items}
    base = next(iter(splits.values())).dataset_dir if splits and layout.image_folders else folder
    found, errors = _find_files(base, layout.image_folders)
    findings += errors
    used_files = {file_of(path) for path in used}
    images = sorted({*used, *(path for files in found.values() for path in files.images if path not in used_files)})
    if images or any(files.others for files in found.values()):  # else the layout is broken as a whole
        findings += _check_cameras(base, layout.camera_folders, images)
    expected, synthetic = _expected_counts(folder, layout)
    counts = _count(splits, expected)
    findings += _compare(counts, synthetic, layout.fix)
    facts = inspect_images(images, ir_range, progress)
    for number, split in splits.items():
        label = _label(number)
        findings += listed(False, "entry", "that training and test skip", split.skipped, label)
        findings += check_training(label, split)
        findings += check_test(label, split)
        findings += check_leaks(label, split, facts)
        findings += check_depths(label, split, facts)
        if isinstance(split, SYSUMM01):
            findings += check_permutations(split)
    findings += check_images(facts, used if loaded else set(images), ir_range)
    if loaded:
        unused = {path for path in images if path not in used and not facts[path].error}
        findings += _check_unused(base, layout.image_folders, unused)
    links = [f"{path} is {known}" for files in found.values() for path, known in sorted(files.duplicates.items())]
    findings += listed(False, "link", "to a file or folder that is listed already: not counted again", links)
    others = sorted(path for files in found.values() for path in files.others)
    findings += listed(False, "file", "other than images: never read", others)
    findings = list(dict.fromkeys(findings))  # what holds in every split alike
    findings.sort(key=lambda finding: not finding.problem)
    return Diagnosis(dataset, folder, synthetic, len(images), tuple(counts), tuple(findings))


def _custom_layout(dataset: str) -> Layout:
    adapter = host.image_datasets().get(dataset, object)
    if not issubclass(adapter, CrossModalImageDataset):
        raise ValueError(
            f"unknown data set {dataset!r}: choose from {', '.join(LAYOUTS)}, or register a custom one with --import FILE.py"
        )
    return Layout(adapter, image_folders={})


def _load(layout: Layout, folder: Path) -> tuple[dict[int | str, CrossModalImageDataset], list[Finding]]:
    """Loads every split by its official number (0: the only one) and every variant, and reports those that cannot be loaded."""
    adapter = layout.adapter
    splits: dict[int | str, CrossModalImageDataset] = {}
    findings = []
    failed: dict[str, dict[int | str, str]] = {}  # what is wrong, or the missing image -> split -> the complete message
    arguments: dict[int | str, dict[str, Any]] = dict(layout.variants) or {0: {}}
    if adapter is RGBIRSynthetic:
        arguments[0]["write"] = False
    if adapter is RegDB and (there := list_splits(folder)):
        arguments = {split: {"split_id": split - 1} for split in there}
        if missing := [str(split) for split in range(1, NUM_SPLITS + 1) if split not in there]:
            text = f"published numbers are means over {NUM_SPLITS} splits, get the official lists"
            findings.append(Finding(False, f"idx/ has no split {', '.join(missing)}: {text}"))
    for number, options in arguments.items():
        try:
            splits[number] = adapter(root=str(folder), verbose=False, **options)
        except (ValueError, OSError) as error:
            failed.setdefault(str(error).partition(" is missing")[0], {})[number] = str(error)
    for messages in failed.values():
        # A missing image is missing in every split: one finding.
        first, *others = messages.values()
        findings.append(Finding(True, f"{_label(*messages)}{first}", tuple(others)))
    return splits, findings


def _label(*names: int | str) -> str:
    split = "split " if isinstance(names[0], int) else ""
    return f"{split}{', '.join(map(str, names))}: " if all(names) else ""


def _find_files(folder: Path, names: Iterable[str]) -> tuple[dict[str, FoundFiles], list[Finding]]:
    found, errors = {}, []
    for name in names:
        try:
            found[name] = find_files(folder / name)
        except (ValueError, OSError) as error:
            errors.append(Finding(True, str(error)))
    return found, errors


def _check_cameras(folder: Path, cameras: Sequence[str], images: Iterable[str]) -> list[Finding]:
    with_images = {str(parent) for path in images for parent in Path(path).parents}
    empty = [camera for camera in cameras if str(folder / camera) not in with_images]
    return listed(True, "camera folder", "without any image: unpack the data set again", empty)


def _check_unused(folder: Path, depths: Mapping[str, int | None], unused: set[str]) -> list[Finding]:
    """Readable images that are not used: at a place where none are read, or not listed by the data set."""
    misplaced: list[str] = []
    unlisted: list[str] = []
    for name, depth in depths.items():
        for path in unused:
            if Path(path).is_relative_to(folder / name):
                is_read = depth is None or len(Path(path).relative_to(folder / name).parts) == depth + 1
                (unlisted if is_read else misplaced).append(os.path.relpath(path, folder))
    where = "at a place where none is read: move them to the folders that the layout has (docs/data.md)"
    findings = listed(True, "readable image", where, sorted(misplaced))
    return findings + listed(False, "readable image", "that no list names: not used", sorted(unlisted))


def _expected_counts(folder: Path, layout: Layout) -> tuple[dict[str, int], bool]:
    """The expected counts, and whether they are those of a synthetic data set's summary."""
    path = folder / SUMMARY
    if not path.is_file() or layout.adapter is RGBIRSynthetic:
        return layout.published or {}, False
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        return {TRAIN_IDS: int(stated["num_train_ids"]), TEST_IDS: int(stated["num_test_ids"])}, True
    except (ValueError, KeyError, TypeError):
        return {}, True


def _count(splits: dict[int | str, CrossModalImageDataset], expected: dict[str, int]) -> list[Count]:
    alike: dict[tuple[int, ...], list[int | str]] = {}  # counts -> splits: RegDB's ten are one row
    for number, split in splits.items():
        found = (
            split.get_num_pids(split.train),
            sum(item.modality == RGB for item in split.train),
            sum(item.modality == IR for item in split.train),
            split.get_num_pids([*split.query, *split.gallery]),
            sum(item.role != GALLERY_ONLY for item in split.query),
            sum(item.role != QUERY_ONLY for item in split.gallery),
        )
        alike.setdefault(found, []).append(number)
    names = (TRAIN_IDS, TRAIN_RGB, TRAIN_IR, TEST_IDS, QUERY, GALLERY)
    return [
        Count(("each split: " if len(numbers) == NUM_SPLITS else _label(*numbers)) + what, number, expected.get(what))
        for found, numbers in alike.items()
        for what, number in zip(names, found, strict=True)
    ]


def _compare(counts: Sequence[Count], synthetic: bool, fix: str) -> list[Finding]:
    source = f"those in {SUMMARY}" if synthetic else "the published ones, so scores are not comparable"
    differing = tuple(
        f"{count.what}: {count.found} instead of {count.expected}"
        for count in counts
        if count.expected is not None and count.found != count.expected
    )
    fix = "write it again with `torchreid-rgbir synthesize`" if synthetic else fix
    return [Finding(not synthetic, f"counts differ from {source}: {fix}", differing)] if differing else []
