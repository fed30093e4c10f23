"""Features of tracks: the mean over crops, however long the video is."""

import weakref
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.data.video import Frames
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.metrics.tracks import mean_of_tracks
from torchreid_rgbir.retrieval.boxes import read_boxes
from torchreid_rgbir.retrieval.tracks import extract_tracks

SIZE = 80, 60


@pytest.fixture
def scene(tmp_path):
    """A folder of 5 frames of noise, and 9 boxes of two tracks and two boxes without a track."""
    rng = np.random.default_rng(0)
    (tmp_path / "frames").mkdir()
    for number in range(1, 6):
        pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "frames" / f"{number}.png")
    rows = [(frame, 4, frame, 5, 20, 40, 1) for frame in range(1, 6)]
    rows += [(frame, 2, 60, 30, 30, 45, 1) for frame in (2, 4)]  # over the right and lower edges
    rows += [(3, -1, 0, 0, 10, 20, 1), (3, -1, 5, 5, 10, 20, 1)]
    (tmp_path / "mot.txt").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return Frames(tmp_path / "frames"), read_boxes(tmp_path / "mot.txt")


def crop_of(frames, frame, left, top, right, bottom):
    return read_image(f"{frames.source}/{frame}.png").crop((left, top, right, bottom))


def test_a_track_has_the_mean_of_its_crops(scene, extractor):
    frames, boxes = scene
    two, four, *alone = extract_tracks(extractor, frames, boxes, "ir", batch_size=2, num_examples=3)

    crops = [crop_of(frames, frame, frame, 5, frame + 20, 45) for frame in range(1, 6)]
    crops += [crop_of(frames, frame, 60, 30, 80, 60) for frame in (2, 4)]
    features = extractor(crops, "ir")
    numbers = np.array([1] * 5 + [2] * 2)
    zeros = np.zeros_like(numbers)
    wanted = mean_of_tracks(TestFeatures(features, zeros, zeros, zeros + 1, np.arange(1, 8), None, numbers)).features
    np.testing.assert_allclose(np.stack([four.feature, two.feature]), wanted, atol=1e-6)
    assert [track.number for track in (two, four, *alone)] == [2, 4, -1, -1]
    assert (four.first_frame, four.last_frame, four.num_boxes, four.first_box) == (1, 5, 5, (1, 5, 20, 40))
    assert (two.first_frame, two.last_frame, two.num_boxes) == (2, 4, 2)
    assert [box.first_box for box in alone] == [(0, 0, 10, 20), (5, 5, 10, 20)]
    assert (two.name, alone[0].name, alone[0].about()["track"]) == ("track 2", "box in frame 3", None)
    for place, shown in zip((0, 2, 4), four.examples, strict=True):
        np.testing.assert_array_equal(shown, crops[place].resize((96, 192)))


def test_every_nth_box_of_each_track_is_used(scene, extractor):
    frames, boxes = scene
    two, four, *_ = extract_tracks(extractor, frames, boxes, "ir", every=2)
    assert (two.num_boxes, four.num_boxes, four.last_frame) == (1, 3, 5)
    np.testing.assert_allclose(two.feature, extractor(crop_of(frames, 2, 60, 30, 80, 60), "ir")[0], atol=1e-6)
    with pytest.raises(ValueError, match="every is 0: set it to 1 or more"):
        extract_tracks(extractor, frames, boxes, "ir", every=0)


def test_crops_of_16_bits_are_as_files_of_crops(tmp_path, extractor):
    pixels = np.random.default_rng(0).integers(7000, 9000, (60, 80)).astype(np.uint16)
    pixels[0, 0] = 60000  # a hot spot outside the crop must not change it
    (tmp_path / "frames").mkdir()
    Image.fromarray(pixels).save(tmp_path / "frames/1.png")
    Image.fromarray(pixels[10:50, 20:40]).save(tmp_path / "crop.png")
    (tmp_path / "mot.txt").write_text("1,1,20,10,20,40,1\n")
    (track,) = extract_tracks(extractor, Frames(tmp_path / "frames"), read_boxes(tmp_path / "mot.txt"), "ir")
    np.testing.assert_allclose(track.feature, extractor(tmp_path / "crop.png", "ir")[0], atol=1e-6)


def with_boxes(tmp_path, text):
    (tmp_path / "more.txt").write_text(text)
    return read_boxes(tmp_path / "more.txt")


def test_boxes_outside_are_skipped_and_tracks_outside_are_refused(scene, extractor, tmp_path, caplog):
    frames, _ = scene
    boxes = with_boxes(tmp_path, "1,1,5,5,20,40,1\n2,1,80,5,20,40,1\n3,1,5,-40,20,40,1\n")
    (track,) = extract_tracks(extractor, frames, boxes, "ir")
    assert (track.num_boxes, track.last_frame) == (1, 1)
    assert "skipped 2 boxes of" in caplog.text
    boxes = with_boxes(tmp_path, "1,1,5,5,20,40,1\n2,8,81,5,20,40,1\n3,8,-30,5,20,40,1\n")
    message = r"more.txt: every box of track 8 \(frame 2\) lies outside the 80 x 60 pixels of .*frames: give the boxes"
    with pytest.raises(ValueError, match=message):
        extract_tracks(extractor, frames, boxes, "ir")


def test_boxes_after_the_end_are_refused(scene, extractor, tmp_path):
    frames, _ = scene
    boxes = with_boxes(tmp_path, "1,1,5,5,20,40,1\n6,1,5,5,20,40,1\n")
    for known in (5, 0):  # with and without a header that says the number of frames
        frames.num_frames = known
        with pytest.raises(
            ValueError, match="has a box in frame 6, but .*frames ends after frame 5: give the boxes of"
        ):
            extract_tracks(extractor, frames, boxes, "ir")


def test_frames_of_two_sizes_are_refused(scene, extractor, tmp_path):
    frames, boxes = scene
    Image.new("RGB", (40, 30)).save(tmp_path / "frames/2.png")
    with pytest.raises(ValueError, match="frame 2 has 40 x 30 pixels, and the first has 80 x 60"):
        extract_tracks(extractor, frames, boxes, "ir")


def test_a_truncated_video_is_one_line(extractor, tmp_path):
    av = pytest.importorskip("av")
    rng = np.random.default_rng(0)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for _ in range(30):
            pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    content = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    boxes = with_boxes(tmp_path, "".join(f"{frame},1,5,5,20,40,1\n" for frame in range(1, 31)))
    (track,) = extract_tracks(extractor, Frames(tmp_path / "a.mkv"), boxes, "ir")
    assert track.num_boxes == 30
    with pytest.raises(ValueError, match="has a box in frame 30, but .*cut.mkv ends after frame .* or a complete copy"):
        extract_tracks(extractor, Frames(tmp_path / "cut.mkv"), boxes, "ir")


class Mean:
    """Replaces an extractor: the feature of an image is its mean."""

    ir_range = "auto"

    class model:
        feature_dim = 1

    def stream(self, images, modality, batch_size):
        pending = []
        for image in images:
            pending.append([np.asarray(image).mean()])
            if len(pending) == batch_size:
                yield np.array(pending, np.float32)
                pending = []
        if pending:
            yield np.array(pending, np.float32)


class Long:
    """Replaces a video of any number of frames."""

    source, rate = "long.mp4", Fraction(25)

    def __init__(self, num_frames):
        self.num_frames = num_frames

    def __iter__(self):
        for number in range(self.num_frames):
            yield Image.new("RGB", (320, 240), (number % 256,) * 3)


def test_frames_and_crops_do_not_pile_up(tmp_path, monkeypatch):
    new, alive, most = Image.Image._new, 0, 0

    def died():
        nonlocal alive
        alive -= 1

    def counted(self, im):
        nonlocal alive, most
        image = new(self, im)
        alive += 1
        most = max(most, alive)
        weakref.finalize(image, died)
        return image

    monkeypatch.setattr(Image.Image, "_new", counted)  # makes every crop
    boxes = with_boxes(tmp_path, "".join(f"{frame},1,10,10,200,200,1\n" for frame in range(1, 501)))
    (track,) = extract_tracks(Mean(), Long(500), boxes, "rgb", batch_size=8)
    assert track.feature == pytest.approx(np.mean([frame % 256 for frame in range(500)]))
    assert 1 <= most < 8


def test_a_stream_of_images_has_the_features_of_a_list(extractor, photos):
    paths = sorted(str(path) for path in (photos / "ir").rglob("*.jpg"))[:10]
    opened = []

    def images():
        for path in paths:
            opened.append(path)
            yield read_image(path)

    batches = extractor.stream(images(), "ir", batch_size=2)
    first = next(batches)
    assert len(opened) <= 8  # four batches ahead at most
    np.testing.assert_allclose(np.concatenate([first, *batches]), extractor(paths, "ir"), atol=1e-6)
