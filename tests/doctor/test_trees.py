"""Generated trees: training, galleries and the doctor use the same images, and the doctor reports every other file."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchreid_rgbir.data.folder import RGBIRFolder
from torchreid_rgbir.doctor.diagnose import diagnose
from torchreid_rgbir.files.paths import same_file_key
from torchreid_rgbir.retrieval.image_table import labeled_images, read_image_table

NAMES = [
    unicodedata.normalize("NFC", "Jos\u00e9"),
    unicodedata.normalize("NFD", "Jos\u00e9"),
    "P 1",
    "\u5f20\u4f1f",
    "0007",
]
PLACES = [f"{subset}/{modality}" for subset in ("train", "test") for modality in ("rgb", "ir")]
SUFFIXES = [".jpg", ".JPG", ".png", ".bmp", ".tif", ".TIFF", ".webp", ".txt", ".db"]
FILES = st.tuples(
    st.sampled_from([*PLACES, "train", "test"]),
    st.lists(st.sampled_from([*NAMES, ".hidden"]), min_size=0, max_size=4),  # folders below
    st.sampled_from(["c1_a", "c2_b", "\u00fc", ".c"]),
    st.sampled_from(SUFFIXES),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
)
LINKS = st.tuples(
    st.integers(0, 99), st.integers(0, 99), st.booleans()
)  # of which file, beside which file, of its folder


def write(path, number, dtype):
    """Writes an image of its own content; only TIFF has floating-point numbers, and only it and PNG have 16 bits."""
    suffix = path.suffix.lower()
    if suffix in (".txt", ".db"):
        path.write_bytes(b"x")
        return
    if dtype == np.float32 and suffix not in (".tif", ".tiff") or suffix not in (".tif", ".tiff", ".png"):
        dtype = np.uint8
    values = np.random.default_rng(number).integers(0, 256, (16, 8)) * (30 if dtype == np.uint16 else 1)
    Image.fromarray(values.astype(dtype)).save(path)


def build(root, files, links):
    """Writes a tree; every subset, modality and identity has an image. Returns all files, links included."""
    files = [
        (place, [name], "c1_a" if place.endswith("rgb") else "c2_b", ".png", np.uint8)
        for place in PLACES
        for name in NAMES[2:4]
    ] + files
    paths = []
    for number, (place, folders, stem, suffix, dtype) in enumerate(files):
        path = Path(root, place, *folders, stem + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write(path, number, dtype)
            paths.append(path)
    for number, (source, beside, is_folder) in enumerate(links):
        target, link = paths[source % len(paths)], paths[beside % len(paths)].parent / f"link{number}"
        if is_folder and not link.resolve().is_relative_to(target.parent.resolve()):
            link.symlink_to(target.parent)
        elif not is_folder:
            link = link.with_suffix(target.suffix)
            link.symlink_to(target)
    return paths


def read_by_rule(paths, place):
    """The files below `place` that the documented rule reads, written independently of the package."""
    found = set()
    for path in paths:
        parts = path.relative_to(place).parts if path.is_relative_to(place) else ()
        hidden = any(part.startswith(".") for part in parts)
        if len(parts) > 1 and not hidden and path.suffix.lower() not in (".txt", ".db"):
            found.add(same_file_key(path))
    return found


@settings(deadline=None, max_examples=60)
@given(files=st.lists(FILES, max_size=12), links=st.lists(LINKS, max_size=3))
def test_everything_uses_the_same_images_and_the_rest_is_reported(tmp_path_factory, files, links):
    root = tmp_path_factory.mktemp("tree")
    try:
        paths = build(root, files, links)
        try:
            dataset = RGBIRFolder(root=str(root), verbose=False)
        except ValueError as error:  # a link that leads back to itself
            assert "leads back to itself" in str(error)
            return
        diagnosis = diagnose("rgbir_folder", root)
        items = {"train": dataset.train, "test": [*dataset.query, *dataset.gallery]}
        used = set()
        for place in PLACES:
            subset, modality = place.split("/")
            trained = [item.impath for item in items[subset] if item.modality == (modality == "ir")]
            keys = {same_file_key(path) for path in trained}
            assert len(keys) == len(trained)  # no file twice
            assert keys >= read_by_rule(paths, root / place)
            assert set(read_image_table(root / place).paths) == set(trained)
            assert {path for path, name in labeled_images([root / place])} >= set(trained)
            used |= set(trained)
        counts = {count.what: count.found for count in diagnosis.counts}
        assert counts["training RGB images"] + counts["training IR images"] == len(dataset.train)
        assert counts["query images (IR)"] + counts["gallery images (RGB)"] == len(items["test"])
        reported = "\n".join(detail for finding in diagnosis.findings for detail in finding.details)
        read = {same_file_key(path) for path in used}
        for path in paths:
            hidden = next((part for part in path.relative_to(root).parts if part.startswith(".")), None)
            shown = hidden or os.path.relpath(path, root)
            assert same_file_key(path) in read or shown in reported, path
    finally:
        shutil.rmtree(root)
