"""Synthetic videos: people whom no data set has, boxes around them, the same bytes for the same seed."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.cli import main
from torchreid_rgbir.data.video import Frames
from torchreid_rgbir.retrieval.boxes import read_boxes
from torchreid_rgbir.synthetic import video, write
from torchreid_rgbir.synthetic.render import _PASSERS_BY

pytest.importorskip("av")


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk") / "walk"
    video.synthesize_video(folder, num_people=4, num_frames=8, seed=5)
    return folder


def test_it_has_videos_boxes_pairs_and_photos(walk):
    files = {str(path.relative_to(walk)) for path in walk.rglob("*") if path.is_file()}
    photos = {f"people/{person:04d}/{number}.jpg" for person in range(1, 5) for number in (1, 2, 3)}
    assert files == photos | {"day.mp4", "day.txt", "night.mp4", "night.txt", "pairs.csv", "synthetic.json"}
    about = json.loads((walk / "synthetic.json").read_text())
    assert (about["layout"], about["num_ids"], about["images_per_camera"], about["seed"]) == ("video", 4, 8, 5)
    with open(walk / "pairs.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["person"] for row in rows] == ["0001", "0002", "0003", "0004"]
    for name, side in (("day", "a"), ("night", "b")):
        boxes = read_boxes(walk / f"{name}.txt")
        assert np.bincount(boxes.tracks).tolist() == [0, 8, 8, 8, 8]
        assert sorted(int(row[side]) for row in rows) == [1, 2, 3, 4]
        assert Frames(walk / f"{name}.mp4").num_frames == boxes.frames.max() == len(list(Frames(walk / f"{name}.mp4")))


def test_only_the_night_is_gray(walk):
    for name, gray in (("day", False), ("night", True)):
        pixels = np.asarray(next(iter(Frames(walk / f"{name}.mp4"))), int)
        assert pixels.shape == (360, 640, 3)
        assert (np.ptp(pixels, axis=2).mean() < 3) == gray


def test_a_box_shows_its_person(walk):
    """The pixels of a box change when its person walks in, those beside it much less."""
    boxes = read_boxes(walk / "night.txt")
    frames = [np.asarray(frame, float) for frame in Frames(walk / "night.mp4")]
    inside, outside = [], []
    empty = np.median(frames, axis=0)
    for number, frame in enumerate(frames, start=1):
        changed = np.abs(frame - empty).mean(axis=2)
        mask = np.zeros(changed.shape, bool)
        for left, top, right, bottom in boxes.take(boxes.of_frame(number)).inside(640, 360):
            mask[top:bottom, left:right] = True
        inside.append(changed[mask].mean())
        outside.append(changed[~mask].mean())
    assert np.mean(inside) > 3 * np.mean(outside)


def test_nobody_is_in_a_data_set():
    assert max(write.MAX_IDS, 2 * _PASSERS_BY - 1) < video.FIRST_PERSON
    planned = video.plan_walks(video.CAMERAS["day"], 20, 40, seed=0)
    assert {walk.pid for walk in planned} == set(range(video.FIRST_PERSON, video.FIRST_PERSON + 20))


def test_same_seed_same_bytes(walk, tmp_path):
    video.synthesize_video(tmp_path / "same", 4, 8, seed=5)
    video.synthesize_video(tmp_path / "other", 4, 8, seed=6)
    for path in walk.rglob("*"):
        if path.is_file():
            name = path.relative_to(walk)
            assert path.read_bytes() == (tmp_path / "same" / name).read_bytes()
            assert path.read_bytes() != (tmp_path / "other" / name).read_bytes()


def test_the_command_writes_it_and_refuses_what_it_cannot_do(tmp_path, capsys):
    flags = ["synthesize", "--layout", "video", "--out", str(tmp_path / "walk")]
    assert main([*flags, "--ids", "2", "--images", "3"]) == 0
    assert "day.mp4 (RGB) and night.mp4 (IR) with 2 people" in capsys.readouterr().out
    with Image.open(tmp_path / "walk/people/0002/3.jpg") as image:
        assert image.size == (64, 128)
    for more, message in (
        (["--preset", "hard"], "layout video has the preset standard only"),
        (["--workers", "2"], "renders in one process"),
        (["--ids", "0"], "0 identities: give 1 to 999 for layout video"),
        (["--images", "1"], "1 frames of each person: give 2 or more"),
        (["--seed", "-1"], "seed is -1: give 0 or more"),
        ([], "exists and is not an empty folder"),
    ):
        assert main([*flags, *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_tracks_are_long_enough_without_a_flag(tmp_path, capsys):
    assert main(["synthesize", "--layout", "hitsz_vcm", "--out", str(tmp_path / "set"), "--ids", "5"]) == 0
    assert "120 RGB and 120 IR images of 5 identities" in capsys.readouterr().out
