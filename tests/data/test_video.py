"""Frames of videos and folders: order, bits, rotation, and files that are not videos."""

import os
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.data.video import Frames, write_video

av = pytest.importorskip("av")
NUM, SIZE = 12, (64, 48)


def gray_frames(num=NUM, size=SIZE):
    """Frame i has the value 15 * i."""
    return [Image.new("RGB", size, (15 * i,) * 3) for i in range(num)]


def values(frames):
    return [round(float(np.asarray(image).mean()) / 15) for image in frames]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    with open(path, "wb") as file:
        write_video(file, gray_frames(), Fraction(12))
    return path


def noise_video(path, num=40, codec="libx264", pix_fmt="yuv420p", **options):
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pix_fmt
        for _ in range(num):
            pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return path


def test_what_is_written_is_read_in_order_and_again(video):
    frames = Frames(video)
    assert (frames.rate, frames.num_frames) == (12, NUM)
    for _ in range(2):
        assert values(frames) == list(range(NUM))
    assert {(image.mode, image.size) for image in frames} == {("RGB", SIZE)}


def test_an_odd_size_loses_its_last_row_and_column(tmp_path):
    with open(tmp_path / "odd.mp4", "wb") as file:
        write_video(file, gray_frames(3, (35, 21)), Fraction(5))
    assert [image.size for image in Frames(tmp_path / "odd.mp4")] == [(34, 20)] * 3


def test_one_thread_writes_the_same_bytes(tmp_path):
    for name in "ab":
        with open(tmp_path / name, "wb") as file:
            write_video(file, gray_frames(), Fraction(12), threads=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_folder_is_sorted_by_number_and_needs_no_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for i, image in enumerate(gray_frames()):
        image.save(tmp_path / f"frame{i}.png")
    (tmp_path / "notes.txt").write_text("no image")
    frames = Frames(tmp_path)
    assert (frames.rate, frames.num_frames) == (25, NUM)
    assert values(frames) == list(range(NUM))
    with pytest.raises(ValueError, match=r"pip install 'torchreid-rgbir\[video\]'"):
        Frames(tmp_path / "notes.txt")


def test_gray_of_16_bits_keeps_its_values(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2**16, (3, SIZE[1], SIZE[0]), dtype=np.uint16)
    with av.open(str(tmp_path / "thermal.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "gray16le"
        for one in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(one, format="gray16le")))
        container.mux(stream.encode())
    (tmp_path / "folder").mkdir()
    for i, one in enumerate(pixels):
        Image.fromarray(one).save(tmp_path / "folder" / f"{i}.png")
    for source in ("thermal.mkv", "folder"):
        assert (np.stack([np.asarray(image) for image in Frames(tmp_path / source)]) == pixels).all()


def test_frames_of_a_phone_that_was_turned_are_upright(tmp_path):
    left_white = Image.new("RGB", SIZE)
    left_white.paste("white", (0, 0, SIZE[0] // 2, SIZE[1]))
    with open(tmp_path / "a.mp4", "wb") as file:
        write_video(file, [left_white] * 2, Fraction(5))
    content = (tmp_path / "a.mp4").read_bytes()
    numbers = [b"\0\1\0\0", b"\0\0\0\0", b"\xff\xff\0\0"]  # 1, 0 and -1 in a track's matrix of rotation
    one, zero, minus = numbers
    upright, turned = one + zero * 3 + one, zero + one + zero + minus + zero
    at = content.index(b"tkhd")
    at = content.index(upright, at)
    (tmp_path / "turned.mp4").write_bytes(content[:at] + turned + content[at + len(upright) :])

    image = next(iter(Frames(tmp_path / "turned.mp4")))

    assert image.size == SIZE[::-1]  # the player turns the video clockwise: left is now at the top
    top, bottom = np.asarray(image)[:30].mean(), np.asarray(image)[34:].mean()
    assert top > 200 and bottom < 50


@pytest.mark.parametrize("name", ["boxes.txt", "list.mp4", "empty.mp4", "end.mp4", "photo.jpg"])
def test_what_is_not_a_video_is_one_line(name, tmp_path, video):
    path = tmp_path / name
    content = {
        "boxes.txt": b"1,1,0,0,9,9,1\n" * 50,
        "list.mp4": f"ffconcat version 1.0\nfile '{video}'\n".encode(),
        "empty.mp4": b"",
        "end.mp4": video.read_bytes()[:-500],  # the table of frames is at the end
    }
    if name in content:
        path.write_bytes(content[name])
    else:
        Image.new("RGB", (9, 9)).save(path)
    reason = "(invalid data|end of file)" if name in ("empty.mp4", "end.mp4") else "unknown format"
    message = rf"{name} is not a video that can be read \({reason}.*: give a complete file"
    with pytest.raises(ValueError, match=message) as caught:
        Frames(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_an_empty_folder_and_a_pipe(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.mp4 is missing: give a video, or a folder"):
        Frames(tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="contains no image: give a video, or a folder with .jpg"):
        Frames(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is not a regular file"):
        Frames(tmp_path / "pipe")


def test_sound_alone_is_not_a_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match="has no video in it"):
        Frames(tmp_path / "a.mp4")


def test_a_truncated_video_is_read_up_to_its_end(tmp_path):
    content = noise_video(tmp_path / "a.mp4", movflags="faststart").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 6 // 10])
    read = []
    with pytest.raises(ValueError, match=r"cut.mp4 cannot be decoded after frame (\d+) \(.*truncated") as caught:
        read.extend(Frames(tmp_path / "cut.mp4"))
    assert 5 < len(read) < 40 and f"after frame {len(read)} " in str(caught.value)
