"""Files of boxes in MOT format: what is read, and a line number for each mistake."""

import numpy as np
import pytest

from torchreid_rgbir.retrieval.boxes import read_boxes


def write(tmp_path, text):
    (tmp_path / "mot.txt").write_text(text)
    return tmp_path / "mot.txt"


def test_boxes_are_sorted_by_frame_and_numbered_by_track(tmp_path):
    text = "2,7,10,20,30,40,0.9,-1,-1,-1\n1,7,11,21,31,41,0.8\n\n2,-1,1,2,3,4,0.5\n2,3,5,6,7.5,8,1,1,0.9\n1,-1,1,2,3,4,.2\n"
    boxes = read_boxes(write(tmp_path, text))
    assert boxes.frames.tolist() == [1, 1, 2, 2, 2]
    assert boxes.tracks.tolist() == [-1, 7, -1, 3, 7]
    assert boxes.subjects.tolist() == [2, 1, 3, 0, 1]  # tracks 3 and 7, then the boxes without a track
    assert boxes.places[3].tolist() == [5, 6, 7.5, 8]
    assert boxes.rank_in_track().tolist() == [0, 0, 0, 0, 1]
    assert boxes.of_frame(2) == slice(2, 5) and boxes.of_frame(3) == slice(5, 5)
    assert len(read_boxes(write(tmp_path, text), min_confidence=0.8)) == 3
    with pytest.raises(ValueError, match="a box without a track .* in frame 1: run a tracker"):
        boxes.check_tracks()


def test_only_boxes_without_tracks(tmp_path):
    boxes = read_boxes(write(tmp_path, "3,-1,1,2,3,4,1\n1,-1,1,2,3,4,1\n"))
    assert boxes.subjects.tolist() == [0, 1]


def test_ranks_are_those_of_a_loop(tmp_path):
    rng = np.random.default_rng(0)
    rows = {(int(frame), int(track)) for frame, track in rng.integers(1, 30, (300, 2))}
    order = rng.permutation(len(rows))
    lines = [f"{frame},{track},0,0,5,5,1" for frame, track in sorted(rows)]
    boxes = read_boxes(write(tmp_path, "\n".join(lines[i] for i in order)))
    seen: dict[int, int] = {}
    for frame, track, rank in zip(boxes.frames, boxes.tracks, boxes.rank_in_track(), strict=True):
        assert (frame, track) in rows and rank == seen.get(track, 0)
        seen[track] = rank + 1


def test_boxes_are_cut_at_the_edges(tmp_path):
    text = "1,1,-10,-20.4,30,40,1\n1,2,90,90,30,30,1\n1,3,200,10,5,5,1\n1,4,-9,5,9,9,1\n"
    inside = read_boxes(write(tmp_path, text)).inside(100, 100)
    assert inside.tolist() == [[0, 0, 20, 20], [90, 90, 100, 100], [100, 10, 100, 15], [0, 5, 0, 14]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2,1,0,0,5,5", "it has 6 columns, not 7 to 10"),
        ("2,1,0,0,5,5,1,1,1,1,1", "it has 11 columns, not 7 to 10"),
        ("2 1 0 0 5 5 1", "it has 1 columns"),
        ("2,1,nan,0,5,5,1", "a number is NaN or infinite"),
        ("2,1,0,0,5,inf,1", "a number is NaN or infinite"),
        ("2,1,0,0,-5,5,1", "the box is -5 x 5 pixels: width and height must be greater than 0"),
        ("2,1,0,0,5,0,1", "the box is 5 x 0 pixels"),
        ("0,1,0,0,5,5,1", "the frame is 0: number frames with 1, 2, 3"),
        ("1.5,1,0,0,5,5,1", "the frame is 1.5"),
        ("1e99,1,0,0,5,5,1", "the frame is 1e[+]99"),
        ("2,-2,0,0,5,5,1", "the track is -2: number tracks from 0"),
        ("2,1.5,0,0,5,5,1", "the track is 1.5"),
        ("frame,id,x,y,w,h,c", "could not convert string to float: 'frame': write a number"),
        ("2,1,0,0,,5,1", "could not convert string to float: '': write a number"),
        ("1,1,9,9,5,5,1", "track 1 has a second box in frame 1: keep one of them"),
    ],
)
def test_a_mistake_names_its_line(line, message, tmp_path):
    with pytest.raises(ValueError, match=rf"mot.txt, line 3: {message}") as caught:
        read_boxes(write(tmp_path, f"1,1,0,0,5,5,1\n\n{line}\n5,1,0,0,5,5,1\n"))
    assert "\n" not in str(caught.value)


def test_files_without_boxes(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.txt is missing"):
        read_boxes(tmp_path / "none.txt")
    for text in ("", "\n\n"):
        with pytest.raises(ValueError, match="mot.txt contains no box: write frame,track"):
            read_boxes(write(tmp_path, text))
    with pytest.raises(ValueError, match="contains no box of confidence 0.9 or more"):
        read_boxes(write(tmp_path, "1,1,0,0,5,5,0.8\n"), 0.9)
    (tmp_path / "mot.txt").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ValueError, match="mot.txt is not a text file"):
        read_boxes(tmp_path / "mot.txt")
