"""Features of tracks: the mean over the crops of a track. The video is read as a stream."""

import logging
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torchreid_rgbir.data.images import to_upright_rgb
from torchreid_rgbir.data.video import Frames
from torchreid_rgbir.retrieval.boxes import NO_TRACK, Boxes
from torchreid_rgbir.retrieval.extractor import Extractor

EXAMPLE_SIZE = 96, 192  # width and height in pixels

logger = logging.getLogger(__name__)


class Track(NamedTuple):
    """A track of a video, or a box that does not belong to a track."""

    number: int  # boxes.NO_TRACK for a box without a track
    first_frame: int
    last_frame: int
    num_boxes: int  # boxes whose features are in the mean
    first_box: tuple[float, ...]  # left, top, width and height of the first box, in pixels
    feature: NDArray[np.float32]  # (D,)
    examples: list[Image.Image]  # crops, evenly spaced in time, of 96 x 192 pixels

    @property
    def name(self) -> str:
        """Returns the name of the track in printed text."""
        return f"box in frame {self.first_frame}" if self.number == NO_TRACK else f"track {self.number}"

    def about(self) -> dict[str, Any]:
        """Returns the fields that identify the track in JSON."""
        return {
            "track": None if self.number == NO_TRACK else self.number,
            "first_frame": self.first_frame,
            "last_frame": self.last_frame,
            "num_boxes": self.num_boxes,
            "first_box": self.first_box,
        }


def extract_tracks(
    extractor: Extractor,
    frames: Frames,
    boxes: Boxes,
    modality: str,
    batch_size: int = 64,
    every: int = 1,
    num_examples: int = 0,
) -> list[Track]:
    """Crops the boxes and averages the features of each track.

    Every crop's feature is scaled to length 1 before the mean, as `metrics.tracks` does with the features of `extract`. A box
    is cut at the edges of the frame, and skipped if nothing of it is left.

    Args:
        extractor: the model.
        frames: the video. One frame and four batches of crops are in memory at a time.
        boxes: of the video.
        modality: "rgb" or "ir".
        batch_size: crops per forward pass.
        every: use the first box of each track, and then every Nth.
        num_examples: crops of each track to keep.

    Returns:
        One track for each of `boxes.subjects`, in that order.

    Raises:
        ValueError: the video ends before the boxes do, a track lies outside its frames, or a frame cannot be read.
    """
    if every < 1:
        raise ValueError(f"every is {every}: set it to 1 or more")
    boxes = _visible(frames, boxes)
    boxes = boxes.take(boxes.rank_in_track() % every == 0)
    ranks, counts = boxes.rank_in_track(), np.bincount(boxes.subjects)
    shown = np.zeros(len(boxes), bool)
    for part in range(num_examples):  # the middle of each of `num_examples` equal parts of a track
        shown |= ranks == (2 * part + 1) * counts[boxes.subjects] // (2 * num_examples)
    examples: list[list[Image.Image]] = [[] for _ in counts]
    pending: deque[int] = deque()  # subjects of the crops that the extractor has taken

    def crops() -> Iterator[Image.Image]:
        for row, crop in _cropped(frames, boxes):
            subject = int(boxes.subjects[row])
            pending.append(subject)
            if shown[row]:
                examples[subject].append(to_upright_rgb(crop, extractor.ir_range).resize(EXAMPLE_SIZE))
            yield crop

    sums = np.zeros((len(counts), extractor.model.feature_dim))
    for batch in extractor.stream(crops(), modality, batch_size):
        np.add.at(sums, [pending.popleft() for _ in batch], batch)
    features = (sums / counts[:, None]).astype(np.float32)
    rows = [np.flatnonzero(ranks == 0), np.flatnonzero(ranks == counts[boxes.subjects] - 1)]
    firsts, lasts = (ends[np.argsort(boxes.subjects[ends])] for ends in rows)
    return [
        Track(
            int(boxes.tracks[first]),
            int(boxes.frames[first]),
            int(boxes.frames[last]),
            int(count),
            tuple(boxes.places[first].tolist()),
            feature,
            example,
        )
        for first, last, count, feature, example in zip(firsts, lasts, counts, features, examples, strict=True)
    ]


def _visible(frames: Frames, boxes: Boxes) -> Boxes:
    """The boxes that are at least partly inside the frames."""
    first = next(iter(frames), None)
    if first is None:
        raise ValueError(f"{frames.source} has no frame that can be read: give a complete video")
    _check_end(frames, boxes, frames.num_frames or int(boxes.frames[-1]))
    corners = boxes.inside(*first.size)
    visible = np.logical_and.reduce(corners[:, 2:] > corners[:, :2], axis=1)
    missing = np.setdiff1d(boxes.subjects, boxes.subjects[visible])
    if len(missing):
        rows = np.flatnonzero(boxes.subjects == missing[0])
        track, frame = int(boxes.tracks[rows[0]]), int(boxes.frames[rows[0]])
        what = "a box without a track" if track == NO_TRACK else f"every box of track {track}"
        raise ValueError(
            f"{boxes.source}: {what} (frame {frame}) lies outside the {first.width} x {first.height} pixels of "
            f"{frames.source}: give the boxes of this video, in its pixels"
        )
    if not visible.all():
        num = np.count_nonzero(~visible)
        logger.warning("skipped %d boxes of %s that lie outside the frames of %s", num, boxes.source, frames.source)
    return boxes.take(visible)


def _cropped(frames: Frames, boxes: Boxes) -> Iterator[tuple[int, Image.Image]]:
    """Yields the row and the crop of each box, frame by frame."""
    last, size, number = int(boxes.frames[-1]), None, 0
    for number, frame in enumerate(frames, start=1):
        size = size or frame.size
        if frame.size != size:
            raise ValueError(
                f"{frames.source}: frame {number} has {frame.width} x {frame.height} pixels, and the first has "
                f"{size[0]} x {size[1]}: give frames of one size"
            )
        rows = boxes.of_frame(number)
        corners = boxes.take(rows).inside(*size).tolist()
        for row, corner in zip(range(rows.start, rows.stop), corners, strict=True):
            yield row, frame.crop(corner)
        if number == last:  # the rest of the video shows no box
            return
    _check_end(frames, boxes, number)


def _check_end(frames: Frames, boxes: Boxes, num_frames: int) -> None:
    last = int(boxes.frames[-1])
    if last > num_frames:
        raise ValueError(
            f"{boxes.source} has a box in frame {last}, but {frames.source} ends after frame {num_frames}: "
            "give the boxes of this video, or a complete copy of the video"
        )
