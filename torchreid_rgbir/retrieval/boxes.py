"""Reads the boxes of a detector or tracker in the format of MOTChallenge (Milan et al., arXiv 1603.00831, 2016)."""

import dataclasses
import math
from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NUM_COLUMNS = (7, 10)  # fewest and most; the columns after the confidence are not used
NO_TRACK = -1


@dataclasses.dataclass(frozen=True)
class Boxes:
    """The N boxes of a video, sorted by frame.

    Attributes:
        source: the file.
        frames: (N,) numbers of the frames, from 1.
        tracks: (N,) numbers of the tracks, at least 0. NO_TRACK: the box does not belong to a track.
        places: (N, 4) left, top, width and height, in pixels.
        subjects: (N,) from 0. Boxes of a track have one number, and each box without a track has its own. They are in the
            order of the track numbers; boxes without a track follow.
    """

    source: str
    frames: NDArray[np.int64]
    tracks: NDArray[np.int64]
    places: NDArray[np.float32]
    subjects: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frames)

    def of_frame(self, number: int) -> slice:
        """The rows of a frame's boxes."""
        return slice(*np.searchsorted(self.frames, [number, number + 1]).tolist())

    def take(self, rows: NDArray | slice) -> "Boxes":
        """The given rows, which are still sorted by frame."""
        return Boxes(self.source, self.frames[rows], self.tracks[rows], self.places[rows], self.subjects[rows])

    def check_tracks(self) -> None:
        """Raises ValueError if a box does not belong to a track."""
        if len(alone := np.flatnonzero(self.tracks == NO_TRACK)):
            raise ValueError(
                f"{self.source} has a box without a track (-1) in frame {self.frames[alone[0]]}: "
                "run a tracker, which numbers the boxes of each person"
            )

    def rank_in_track(self) -> NDArray[np.int64]:
        """(N,) the place of each box in its track, by frame, from 0."""
        order = np.argsort(self.subjects, kind="stable")
        ranks = np.empty(len(self), np.int64)
        starts = np.searchsorted(self.subjects[order], self.subjects[order])
        ranks[order] = np.arange(len(self)) - starts
        return ranks

    def inside(self, width: int, height: int) -> NDArray[np.int64]:
        """Cuts the boxes at the edges of a frame.

        Args:
            width, height: of the frame, in pixels.

        Returns:
            (N, 4) left, top, right and bottom in whole pixels. Right or bottom is not greater than left or top if the box
            lies outside.
        """
        corners = np.concatenate([self.places[:, :2], self.places[:, :2] + self.places[:, 2:]], axis=1)
        return np.rint(corners).clip(0, [width, height, width, height]).astype(np.int64)


def read_boxes(path: str | Path, min_confidence: float | None = None) -> Boxes:
    """Reads one box per line: frame (from 1), track (-1 = none), left, top, width, height, confidence.

    Args:
        path: a text file with commas between the columns. Up to three more columns are ignored. The lines may have any order.
        min_confidence: boxes with a lower confidence are skipped. None skips none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line does not have this format, a number is not finite, a box has no area, a track has two boxes in a
            frame, or there is no box. The message names the line.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"{path} is missing: give a text file in MOT format, with a box in each line")
    values, lines = array("d"), array("q")  # 64 bytes for a box, where Python's own lists take ten times as much
    try:
        with file.open(encoding="utf-8-sig") as text:
            for number, line in enumerate(text, start=1):
                if not line.strip():
                    continue
                row = _parsed(line)
                if min_confidence is None or row[6] >= min_confidence:
                    values.extend(row)
                    lines.append(number)
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file: give the boxes in MOT format") from None
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}") from None
    if not lines:
        kept = "" if min_confidence is None else f" of confidence {min_confidence:g} or more"
        raise ValueError(
            f"{path} contains no box{kept}: write frame,track,left,top,width,height,confidence in each line"
        )
    table = np.frombuffer(values).reshape(-1, 7)
    frames, tracks = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    order = np.lexsort([tracks, frames])
    again = (np.diff(frames[order]) == 0) & (np.diff(tracks[order]) == 0) & (tracks[order][1:] != NO_TRACK)
    if again.any():
        row = order[1:][again][0]
        raise ValueError(
            f"{path}, line {lines[row]}: track {tracks[row]} has a second box in frame {frames[row]}: keep one of them"
        )
    frames, tracks = frames[order], tracks[order]
    subjects = np.unique(tracks, return_inverse=True)[1].reshape(-1)
    alone = tracks == NO_TRACK
    if alone.any():
        subjects = subjects - 1
        subjects[alone] = subjects.max() + 1 + np.arange(np.count_nonzero(alone))
    return Boxes(str(path), frames, tracks, table[order, 2:6].astype(np.float32), subjects)


def _parsed(line: str) -> list[float]:
    cells = line.split(",")
    fewest, most = NUM_COLUMNS
    if not fewest <= len(cells) <= most:
        raise ValueError(
            f"it has {len(cells)} columns, not {fewest} to {most}: "
            "write frame,track,left,top,width,height,confidence with commas between them"
        )
    try:
        row = [float(cell) for cell in cells[:fewest]]
    except ValueError as error:
        raise ValueError(f"{error}: write a number in each column") from None
    if not all(map(math.isfinite, row)):
        raise ValueError("a number is NaN or infinite: remove the line or correct it")
    frame, track, _, _, width, height, _ = row
    if frame != int(frame) or not 1 <= frame < 2**31:
        raise ValueError(f"the frame is {frame:g}: number frames with 1, 2, 3 and so on")
    if track != int(track) or not NO_TRACK <= track < 2**53:
        raise ValueError(f"the track is {track:g}: number tracks from 0, and write -1 for a box without a track")
    if width <= 0 or height <= 0:
        raise ValueError(f"the box is {width:g} x {height:g} pixels: width and height must be greater than 0")
    return row
