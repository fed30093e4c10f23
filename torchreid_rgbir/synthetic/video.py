"""Writes two videos of people who walk past an RGB and an IR camera, with their boxes. No outside source."""

import csv
import json
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from torchreid_rgbir.data.video import write_video
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.synthetic.figure import Pose, draw_person, random_pose
from torchreid_rgbir.synthetic.people import paint_of, shape_of
from torchreid_rgbir.synthetic.render import PRESETS, render_standard
from torchreid_rgbir.synthetic.scenes import SUPERSAMPLING, Camera, add_noise, lit, scene
from torchreid_rgbir.synthetic.write import SUMMARY, new_folder
from torchreid_rgbir.terminal import progress

FIRST_PERSON = 20_001  # no data set of any seed has this person or a later one, so no model was trained on them
MAX_PEOPLE, MIN_FRAMES = 999, 2
SIZE, RATE = (640, 360), Fraction(10)  # width and height in pixels; frames per second
PHOTOS = 3  # RGB photos of each person, taken by a third camera
CAMERAS = {
    "day": Camera(21, RGB, place=21, indoor=False),
    "night": Camera(22, IR, place=22, indoor=False),
    "people": Camera(23, RGB, place=23, indoor=True),
}

# Last number of a generator's seed. Each purpose has its own, also in the other modules, so that none share a stream.
_ORDER, _WALK, _BOXES, _MOMENT, _NOISE = 40, 41, 42, 43, 44


class Walk(NamedTuple):
    """One person's way past one camera."""

    pid: int
    track: int  # its number in the file of boxes
    start: int  # number of the first frame, from 0
    height: float  # of the person's box, in pixels
    bottom: float  # of the box, in pixels; people who are nearer are larger and lower in the frame
    to_right: bool
    pose: Pose  # at the first frame
    stride_frames: float  # frames of two steps


def synthesize_video(
    out: str | os.PathLike[str], num_people: int = 20, num_frames: int = 40, seed: int = 0
) -> dict[str, Any]:
    """Writes `day.mp4` (RGB) and `night.mp4` (IR), their boxes, and photos of the same people.

    The folder has:

    - `day.txt`, `night.txt`: the boxes in MOT format, as of a good tracker: a few percent away from the exact places.
    - `pairs.csv`: which track of the day (column a) is which of the night (column b). Both orders are random.
    - `people/NNNN/N.jpg`: RGB photos of each person, taken by a third camera.
    - `synthetic.json`: the arguments.

    Args:
        out: folder to create; it must be missing or empty.
        num_people: in each of the videos.
        num_frames: frames in which each person is visible. About five people are visible at a time.
        seed: of people, places and ways, >= 0.

    Returns:
        The content of `synthetic.json`.

    Raises:
        ValueError: an argument is out of its range.
        OSError: `out` exists and is not empty, or cannot be written.
        MissingExtra: the extra `video` is not installed.
    """
    if not 1 <= num_people <= MAX_PEOPLE:
        raise ValueError(f"{num_people} identities: give 1 to {MAX_PEOPLE} for layout video")
    if num_frames < MIN_FRAMES:
        raise ValueError(f"{num_frames} frames of each person: give {MIN_FRAMES} or more")
    if seed < 0:
        raise ValueError(f"seed is {seed}: give 0 or more")
    about = {"layout": "video", "renderer": PRESETS["standard"].version, "seed": seed}
    about |= {"num_ids": num_people, "images_per_camera": num_frames, "size": list(SIZE)}
    with new_folder(out) as folder:
        walks = {name: plan_walks(CAMERAS[name], num_people, num_frames, seed) for name in ("day", "night")}
        for name, planned in walks.items():
            camera = CAMERAS[name]
            (folder / f"{name}.txt").write_text(_mot(planned, camera, num_frames, seed), encoding="utf-8")
            total = max(walk.start for walk in planned) + num_frames
            frames = progress(_frames(planned, camera, num_frames, seed, total), "rendering", total, unit="frame")
            with open(folder / f"{name}.mp4", "wb") as file:
                write_video(file, frames, RATE, threads=1)
        tracks = [{walk.pid: walk.track for walk in planned} for planned in walks.values()]
        with open(folder / "pairs.csv", "w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(("person", "a", "b"))
            for pid in sorted(tracks[0]):
                name = f"{pid - FIRST_PERSON + 1:04d}"
                lines.writerow((name, tracks[0][pid], tracks[1][pid]))
                _write_photos(folder / "people" / name, pid, seed)
        (folder / SUMMARY).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return about


def plan_walks(camera: Camera, num_people: int, num_frames: int, seed: int) -> list[Walk]:
    """When and where each person passes a camera. The person who is farthest away is first, and so is drawn first."""
    order = np.random.default_rng([seed, camera.number, _ORDER])
    starts, tracks = order.permutation(num_people), order.permutation(num_people) + 1
    walks = []
    for place in range(num_people):
        pid = FIRST_PERSON + place
        rng = np.random.default_rng([seed, pid, camera.number, _WALK])
        near = rng.uniform()
        start = int(starts[place]) * max(1, num_frames // 5)
        height, bottom = SIZE[1] * (0.38 + 0.14 * near), SIZE[1] * (0.75 + 0.23 * near)
        to_right, pose = bool(rng.integers(2)), random_pose(rng)
        walks.append(Walk(pid, int(tracks[place]), start, height, bottom, to_right, pose, rng.uniform(9, 13)))
    return sorted(walks, key=lambda walk: walk.bottom)


def _place(walk: Walk, frame: int, num_frames: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of the person in a frame, in pixels."""
    share = (frame - walk.start) / (num_frames - 1)
    width = walk.height / 2
    left = (SIZE[0] - width) * (share if walk.to_right else 1 - share)
    return left, walk.bottom - walk.height, width, walk.height


def _mot(walks: list[Walk], camera: Camera, num_frames: int, seed: int) -> str:
    rng = np.random.default_rng([seed, camera.number, _BOXES])
    rows = []
    for walk in walks:
        for frame in range(walk.start, walk.start + num_frames):
            left, top, width, height = _place(walk, frame, num_frames)
            moved = np.array([left, top]) + rng.normal(0, 0.015, 2) * height
            larger = rng.normal(1, 0.02) * np.array([width, height])
            box = ",".join(f"{value:.1f}" for value in (*moved, *larger))
            rows.append((frame + 1, walk.track, f"{box},{rng.uniform(0.7, 1):.2f},-1,-1,-1"))
    return "".join(f"{frame},{track},{rest}\n" for frame, track, rest in sorted(rows))


def _frames(walks: list[Walk], camera: Camera, num_frames: int, seed: int, total: int) -> Iterator[Image.Image]:
    width, height = SIZE
    background = scene(seed, camera.place, camera.modality, camera.indoor, (width // 2, height))
    for frame in range(total):
        image = background.copy()
        for walk in walks:
            if not walk.start <= frame < walk.start + num_frames:
                continue
            left, top, wide, tall = (round(SUPERSAMPLING * value) for value in _place(walk, frame, num_frames))
            phase = walk.pose.phase + 2 * math.pi * (frame - walk.start) / walk.stride_frames
            layer = Image.new("RGBA", (wide, tall))
            shape, paint = shape_of(seed, walk.pid), paint_of(seed, walk.pid, camera.modality)
            draw_person(layer, shape, paint, walk.pose._replace(phase=phase))
            if not walk.to_right:
                layer = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            image.paste(layer, (left, top), layer)
        # The light is that of one moment; the noise is new in each frame.
        moment = np.random.default_rng([seed, camera.number, _MOMENT])
        pixels = lit(np.asarray(image.reduce(SUPERSAMPLING), dtype=np.float32), seed, camera, moment)
        yield Image.fromarray(add_noise(pixels, camera, np.random.default_rng([seed, camera.number, frame, _NOISE])))


def _write_photos(folder: Path, pid: int, seed: int) -> None:
    folder.mkdir(parents=True)
    for number in range(1, PHOTOS + 1):
        Image.fromarray(render_standard(seed, pid, CAMERAS["people"], number)).save(
            folder / f"{number}.jpg", quality=95
        )
