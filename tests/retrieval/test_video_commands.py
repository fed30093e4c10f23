"""identify --video and match as a user calls them."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.cli import main
from torchreid_rgbir.data.video import Frames
from torchreid_rgbir.retrieval.boxes import read_boxes
from torchreid_rgbir.synthetic.video import synthesize_video

pytest.importorskip("av")


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk") / "walk"
    synthesize_video(folder, num_people=4, num_frames=6)
    return folder


@pytest.fixture
def identify(walk, weights):
    return [
        *("identify", "--weights", str(weights), "--reference", str(walk / "people"), "--reference-modality", "rgb"),
        *("--video", str(walk / "night.mp4"), "--boxes", str(walk / "night.txt"), "--modality", "ir"),
    ]


@pytest.fixture
def match(walk, weights):
    sides = []
    for side, name, modality in (("a", "day", "rgb"), ("b", "night", "ir")):
        sides += [f"--{side}", str(walk / f"{name}.mp4"), f"--{side}-boxes", str(walk / f"{name}.txt")]
        sides += [f"--{side}-modality", modality]
    return ["match", "--weights", str(weights), *sides]


def error_of(capsys, *argv):
    """The one line that a mistake prints."""
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def changed(argv, **values):
    """The flags with other values."""
    argv = list(argv)
    for flag, value in values.items():
        argv[argv.index(f"--{flag.replace('_', '-')}") + 1] = str(value)
    return argv


def test_identify_answers_per_track(identify, walk, tmp_path, capsys):
    outs = tmp_path / "tracks.json", tmp_path / "tracks.png", tmp_path / "tracks.mp4"
    flags = [*("--json", str(outs[0]), "--save-picture", str(outs[1]), "--save-video", str(outs[2])), "--topk", "2"]
    assert main([*identify, *flags]) == 0
    printed = capsys.readouterr().out
    content = json.loads(outs[0].read_text())
    assert content["video"].endswith("night.mp4") and content["boxes"].endswith("night.txt")
    boxes = read_boxes(walk / "night.txt")
    assert [track["track"] for track in content["tracks"]] == [1, 2, 3, 4]
    for track in content["tracks"]:
        rows = boxes.tracks == track["track"]
        assert (track["first_frame"], track["last_frame"]) == (boxes.frames[rows].min(), boxes.frames[rows].max())
        assert track["num_boxes"] == 6 and track["first_box"] == boxes.places[rows][0].tolist()
        assert track["unknown"] is False and len(track["matches"]) == 2
        best = track["matches"][0]
        assert (
            f"track {track['track']}\n   1  {best['category']}  {best['score']:>6.3f}  {best['reference']}\n" in printed
        )
    with Image.open(outs[1]) as picture:
        assert picture.height > 4 * 192
    plain, drawn = (list(Frames(path)) for path in (walk / "night.mp4", outs[2]))
    assert len(plain) == len(drawn) and plain[0].size == drawn[0].size
    for number, pair in enumerate(zip(plain, drawn, strict=True), start=1):
        different = np.abs(np.subtract(*(np.asarray(image, float) for image in pair))).max(axis=2) > 60
        for left, _, right, bottom in boxes.take(boxes.of_frame(number)).inside(640, 360):
            if bottom < 358 and left > 1 and right < 638:
                assert different[bottom - 1, left:right].mean() > 0.5  # the lower edge of the box


def test_a_threshold_and_boxes_without_tracks(identify, walk, tmp_path, capsys):
    single = tmp_path / "detections.txt"
    single.write_text("3,-1,10,200,60,120,0.9\n3,-1,90,200,60,120,0.4\n")
    out = tmp_path / "tracks.json"
    argv = [*changed(identify, boxes=single), "--threshold", "1.1", "--json", str(out)]
    assert main(argv) == 0
    assert capsys.readouterr().out.count("box in frame 3: unknown, all scores are below 1.1") == 2
    tracks = json.loads(out.read_text())["tracks"]
    assert [track["track"] for track in tracks] == [None, None] and all(track["unknown"] for track in tracks)
    assert main([*argv, "--min-confidence", "0.5"]) == 0
    assert len(json.loads(out.read_text())["tracks"]) == 1


def test_match_writes_and_draws_pairs(match, walk, tmp_path, capsys):
    out, picture = tmp_path / "pairs.json", tmp_path / "pairs.png"
    truth = walk / "pairs.csv"
    flags = ["--json", str(out), "--save-picture", str(picture), "--truth", str(truth)]
    assert main([*match, *flags]) == 0
    printed = capsys.readouterr().out
    found = json.loads(out.read_text())
    assert {pair["a"] for pair in found["pairs"]} == {pair["b"] for pair in found["pairs"]} == {1, 2, 3, 4}
    assert found["unmatched_a"] == found["unmatched_b"] == [] and found["threshold"] is None
    assert [found[side]["modality"] for side in "ab"] == ["rgb", "ir"]
    with open(truth) as file:
        correct = {(int(row["a"]), int(row["b"])) for row in csv.DictReader(file)}
    num = len(correct & {(pair["a"], pair["b"]) for pair in found["pairs"]})
    assert "4 pairs of 4 tracks in A and 4 tracks in B" in printed and f"correct: {num} of 4 pairs" in printed
    with Image.open(picture) as sheet:
        assert sheet.height > 4 * 192 and sheet.width > 6 * 96
    lowest = min(pair["score"] for pair in found["pairs"])
    assert main([*match, "--json", str(out), "--threshold", str(lowest + 1e-4)]) == 0
    fewer = json.loads(out.read_text())
    assert len(fewer["pairs"]) < 4 and len(fewer["unmatched_a"]) == len(fewer["unmatched_b"]) > 0

    assert main([*match, "--threshold", "1.1", "--save-picture", str(tmp_path / "none.png")]) == 0
    assert "none.png is not written" in capsys.readouterr().err and not (tmp_path / "none.png").exists()


def test_every_nth_box_is_faster_and_reported(match, tmp_path):
    out = tmp_path / "pairs.json"
    assert main([*match, "--json", str(out), "--every", "3"]) == 0
    assert {track["num_boxes"] for side in "ab" for track in json.loads(out.read_text())[side]["tracks"]} == {2}


def test_flags_that_need_each_other(identify, walk, photos, capsys):
    no_boxes = identify[: identify.index("--boxes")] + identify[identify.index("--modality") :]
    assert "--video needs --boxes MOT.txt: run a detector or tracker" in error_of(capsys, *no_boxes)
    at = identify.index("--video")
    image = [*identify[:at], "--image", str(photos / "ir"), "--modality", "ir"]
    for flags in (["--boxes", "x"], ["--min-confidence", "0.5"], ["--every", "2"], ["--save-video", "x.mp4"]):
        assert f"{flags[0]} needs --video: give the video, or remove the flag" in error_of(capsys, *image, *flags)
    assert "remove --labeled" in error_of(capsys, *identify, "--labeled")
    assert "give a name that ends in .mp4" in error_of(capsys, *identify, "--save-video", "x.avi")


def test_bad_files_are_one_line(identify, match, walk, tmp_path, capsys):
    boxes = tmp_path / "mot.txt"
    for text, message in (
        ("", "mot.txt contains no box"),
        ("1,1,nan,0,5,5,1\n", "mot.txt, line 1: a number is NaN or infinite"),
        ("1,1,0,0,-5,5,1\n", "mot.txt, line 1: the box is -5 x 5 pixels"),
        ("1,1,0,0,5\n", "mot.txt, line 1: it has 5 columns, not 7 to 10"),
        ("999,1,0,0,5,5,1\n", "has a box in frame 999, but"),
        ("1,1,700,0,5,5,1\n", "every box of track 1 (frame 1) lies outside the 640 x 360 pixels"),
    ):
        boxes.write_text(text)
        assert message in error_of(capsys, *changed(identify, boxes=boxes))
        assert message in error_of(capsys, *changed(match, b_boxes=boxes))
    boxes.write_text("1,-1,0,0,5,5,1\n")
    assert "has a box without a track (-1) in frame 1: run a tracker" in error_of(
        capsys, *changed(match, a_boxes=boxes)
    )
    assert "night.txt is not a video that can be read" in error_of(capsys, *changed(match, b=walk / "night.txt"))
    assert "none.mp4 is missing" in error_of(capsys, *changed(identify, video=tmp_path / "none.mp4"))
    (tmp_path / "cut.mp4").write_bytes((walk / "day.mp4").read_bytes()[:3000])
    assert "cut.mp4 is not a video that can be read" in error_of(capsys, *changed(match, a=tmp_path / "cut.mp4"))
    assert "none.csv is missing" in error_of(capsys, *match, "--truth", tmp_path / "none.csv")
    assert "--threshold is nan" in error_of(capsys, *match, "--threshold", "nan")
