"""Boxes and labels in the frames of a video."""

import numpy as np
from PIL import Image

from torchreid_rgbir.data.video import Frames
from torchreid_rgbir.retrieval.boxes import read_boxes
from torchreid_rgbir.visual.annotate import annotated


def test_boxes_are_where_and_when_they_are_said_to_be(tmp_path):
    (tmp_path / "frames").mkdir()
    for number in (1, 2, 3):
        Image.new("RGB", (200, 100), (50, 60, 70)).save(tmp_path / "frames" / f"{number}.png")
    (tmp_path / "mot.txt").write_text("2,3,50,30,40,60,1\n3,3,500,30,40,60,1\n2,-1,-10,60,40,60,1\n")
    labels = [("track 3: 张三", "#ff0000"), ("unknown", "#00ff00")]

    one, two, three = map(
        np.asarray, annotated(Frames(tmp_path / "frames"), read_boxes(tmp_path / "mot.txt"), labels, "auto")
    )

    assert (one == [50, 60, 70]).all() and (three == [50, 60, 70]).all()
    red, green = (two == [255, 0, 0]).all(axis=2), (two == [0, 255, 0]).all(axis=2)
    assert red[30:90, 50].all() and red[89, 50:90].all() and not red[35:85, 53:87].any()
    assert red[14:30, 50:].any()  # the label is above the box
    assert green[60:100, 29].all() and green[99, 0:30].all() and not green[:40].any()
