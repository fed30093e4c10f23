"""What the doctor finds in the images themselves: unreadable files, bit depths, flat images, test images used in training."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from torchreid_rgbir.data.broken_images import for_each_image
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset
from torchreid_rgbir.data.images import read_with_bits
from torchreid_rgbir.doctor.findings import Finding, listed
from torchreid_rgbir.modality import IR, NAMES, RGB

MIN_SPREAD = 3  # gray values between the 1st and 99th percentile; an image with fewer shows nothing


class ImageFacts(NamedTuple):
    """What decoding an image shows. `content` is equal for images with equal pixels, whatever their names and formats."""

    error: str = ""
    bits: int = 8
    is_flat: bool = False
    content: bytes = b""


def inspect_images(paths: Sequence[str], ir_range: str = "auto", progress: bool = False) -> dict[str, ImageFacts]:
    """Decodes every image, several at a time."""
    return dict(zip(paths, for_each_image(partial(_inspect, ir_range=ir_range), paths, progress), strict=True))


def _inspect(path: str, ir_range: str) -> ImageFacts:
    try:
        image, bits = read_with_bits(path, ir_range)
    except (ValueError, OSError) as error:
        return ImageFacts(str(error).rpartition(": ")[0])  # the advice is shown once for all of them
    shares = np.cumsum(image.convert("L").histogram()) / (image.width * image.height)
    low, high = np.searchsorted(shares, (0.01, 0.99))
    content = hashlib.blake2b(image.tobytes(), digest_size=16, salt=repr(image.size).encode()[:16])
    return ImageFacts("", bits, int(high - low) < MIN_SPREAD, content.digest())


def check_images(facts: Mapping[str, ImageFacts], used: set[str], ir_range: str) -> list[Finding]:
    """Unreadable images, flat ones and those of more than 8 bits."""
    broken = [fact.error for path, fact in facts.items() if path in used and fact.error]
    others = [fact.error for path, fact in facts.items() if path not in used and fact.error]
    flat = [path for path, fact in facts.items() if path in used and fact.is_flat]
    deep = Counter(fact.bits for path, fact in facts.items() if path in used and fact.bits > 8)
    findings = listed(True, "image", "that cannot be read: replace, or take out of the data set", broken)
    findings += listed(False, "image", "that no list names and that cannot be read", others)
    findings += listed(False, "image", "with nearly one gray value: check the camera, or set data.ir_range", flat)
    if deep:
        counts = tuple(f"{number} of {bits} bits per channel" for bits, number in sorted(deep.items()))
        findings.append(Finding(False, f"images of more than 8 bits, scaled to 8 by data.ir_range {ir_range}", counts))
    return findings


def check_depths(label: str, split: CrossModalImageDataset, facts: Mapping[str, ImageFacts]) -> list[Finding]:
    """Images of different bit depths in one modality, of which data.ir_range scales only some."""
    depths: dict[int, Counter] = {RGB: Counter(), IR: Counter()}
    for item in {item.impath: item for item in (*split.train, *split.query, *split.gallery)}.values():
        if not facts[item.impath].error:
            depths[item.modality][facts[item.impath].bits] += 1
    text = (
        "images of mixed bit depths: 8-bit images stay as they are, the others are scaled by data.ir_range, so their brightness "
        "may differ. Store all of them with the same depth"
    )
    findings = []
    for modality, found in depths.items():
        if len(found) > 1:
            counts = tuple(f"{number} images of {bits} bits per channel" for bits, number in sorted(found.items()))
            findings.append(Finding(False, f"{label}{NAMES[modality].upper()} {text}", counts))
    return findings


def check_leaks(label: str, split: CrossModalImageDataset, facts: Mapping[str, ImageFacts]) -> list[Finding]:
    """Test images whose content is in the training set, under the same or a different name."""
    trained: dict[bytes, list[str]] = defaultdict(list)
    for item in split.train:
        trained[facts[item.impath].content].append(item.impath)

    copies = []
    for item in (*split.query, *split.gallery):
        fact = facts[item.impath]
        if not fact.error and not fact.is_flat and fact.content in trained:
            pair = (os.path.relpath(path, split.dataset_dir) for path in (item.impath, trained[fact.content][0]))
            copies.append(" is ".join(pair))
    text = "that training uses too (same content), which makes every score too high: take them out of one of the two"
    return listed(True, "test image", text, copies, label)
