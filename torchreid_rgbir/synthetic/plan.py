"""The plan of a synthetic data set: which images to render, and the content of its other files."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from torchreid_rgbir.synthetic.scenes import Camera

PERSON, VEHICLE = "person", "vehicle"


class ImageSpec(NamedTuple):
    """One image to render, and the path of its file relative to the root.

    Attributes:
        spectra: those that the file shows side by side, of "rgb", "nir" and "tir". Empty: only the camera's
            spectrum.
        subject: PERSON or VEHICLE.
    """

    path: str
    pid: int
    camera: Camera
    number: int
    spectra: tuple[str, ...] = ()
    subject: str = PERSON


@dataclass
class Plan:
    """All files of a data set: images to render, and the content of the other files by path relative to the root."""

    num_train_ids: int
    num_test_ids: int
    images: list[ImageSpec] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


def last_fifth(num_ids: int) -> Plan:
    """An empty plan in which the last fifth of the identities is for testing."""
    return Plan(num_train_ids=num_ids - num_ids // 5, num_test_ids=num_ids // 5)


def ids_of(num_ids: int) -> list[int]:
    """All identities, from 1."""
    return list(range(1, num_ids + 1))


def numbers(images: int) -> range:
    """The numbers of the images of an identity and camera, from 1."""
    return range(1, images + 1)


def as_lines(lines: Iterable[object]) -> bytes:
    """A text file with these lines."""
    return "".join(f"{line}\n" for line in lines).encode()
