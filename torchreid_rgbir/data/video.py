"""Reads the frames of a video file or of a folder of images one after the other, and writes MP4 files.

Only one frame at a time is in memory, so a video may be of any length.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image

from torchreid_rgbir.data.image_files import IMAGE_SUFFIXES, list_images
from torchreid_rgbir.data.images import MAX_PIXELS, read_unscaled
from torchreid_rgbir.extras import require

if TYPE_CHECKING:
    from av import FFmpegError
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# FFmpeg's other readers render text files, and open the files and addresses that a text file lists.
FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,h264,hevc,m4v,mjpeg,mxf,dhav"
FOLDER_RATE = Fraction(25)  # frames per second of a folder of images


class Frames:
    """The frames of a video file or of a folder of images. Iterating reads them from the beginning.

    Frames are upright. Each is a Pillow image in RGB, or a gray image of 16 bits if the file has more than 8 bits of gray.
    The images of a folder are sorted by name, and numbers in names by value.

    Attributes:
        source: the file or folder.
        rate: frames per second.
        num_frames: the number of frames according to the file's header, 0 if it is unknown.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it is not a video, or it has no frames. While iterating: a frame cannot be decoded.
        MissingExtra: the extra `video` is not installed. A folder does not need it.
    """

    def __init__(self, source: str | Path):
        self.source = str(source)
        self._path = Path(source).expanduser()
        self._images: list[str] | None = None
        if self._path.is_dir():
            self._images = sorted(list_images(self._path), key=_by_number)
            if not self._images:
                suffixes = ", ".join(IMAGE_SUFFIXES)
                raise ValueError(f"{source} contains no image: give a video, or a folder with {suffixes} files")
            self.rate, self.num_frames = FOLDER_RATE, len(self._images)
        elif not self._path.exists():
            raise FileNotFoundError(f"{source} is missing: give a video, or a folder with the images of its frames")
        else:
            with self._opened() as (_, stream):
                rate = stream.average_rate
                self.rate = Fraction(rate.numerator, rate.denominator) if rate else FOLDER_RATE
                self.num_frames = stream.frames

    def __iter__(self) -> Iterator[Image.Image]:
        return self._decoded() if self._images is None else map(read_unscaled, self._images)

    def _decoded(self) -> Iterator[Image.Image]:
        import av

        number = 0
        with self._opened() as (container, stream):
            stream.thread_type = "AUTO"
            try:
                for packet in container.demux(stream):
                    # A broadcast (MPEG-TS) can lose packets. In other formats, the end of the file is missing.
                    if packet.is_corrupt and container.format.name != "mpegts":
                        raise av.InvalidDataError(0, "the last packet is incomplete")
                    for frame in packet.decode():
                        number += 1
                        yield _upright(frame)
            except av.FFmpegError as error:
                raise ValueError(
                    f"{self.source} cannot be decoded after frame {number} ({_reason(error)}): "
                    "the file is truncated or damaged, so give a complete copy"
                ) from None

    @contextmanager
    def _opened(self) -> "Iterator[tuple[InputContainer, VideoStream]]":
        require("video", "av")
        import av

        if not self._path.is_file():
            raise ValueError(f"{self.source} is not a regular file: give a video, or a folder of images")
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        try:
            container = av.open(f"file:{self._path}", options=options)
        except av.FFmpegError as error:
            reason = "unknown format" if error.errno == errno.EINVAL else _reason(error)
            raise ValueError(
                f"{self.source} is not a video that can be read ({reason}): "
                "give a complete file, such as .mp4, .mkv or .avi, or a folder of images"
            ) from None
        with container:
            if not container.streams.video:
                raise ValueError(f"{self.source} has no video in it, only sound or text: give a different file")
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_PIXELS:
                raise ValueError(
                    f"{self.source} has frames of {stream.width} x {stream.height} pixels, "
                    f"more than the {MAX_PIXELS} that are read"
                )
            yield container, stream


def write_video(file: IO[bytes], frames: Iterable[Image.Image], rate: Fraction, threads: int = 0) -> None:
    """Writes frames as an MP4 file with H.264, which browsers and players show.

    Args:
        file: a file that is open for writing bytes, such as the one of `files.atomic.replacing`.
        frames: RGB images of one size. A last row or column of an odd size is cut off, as the format needs even sizes.
        rate: frames per second.
        threads: of the encoder. With 1, the bytes do not depend on the number of processors. 0: as many as are useful.

    Raises:
        MissingExtra: the extra `video` is not installed.
    """
    require("video", "av")
    import av

    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = threads
        for number, image in enumerate(frames):
            if number == 0:
                stream.width, stream.height = image.width // 2 * 2, image.height // 2 * 2
            image = image.crop((0, 0, stream.width, stream.height))
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())


def _upright(frame: "VideoFrame") -> Image.Image:
    # Pixel formats such as gray16le: thermal cameras have more than 8 bits.
    if frame.format.name.startswith("gray") and frame.format.name != "gray":
        image = Image.fromarray(frame.to_ndarray().astype(np.uint16))
    else:
        image = frame.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image  # both are counterclockwise


def _by_number(path: str) -> list:
    # frame2.jpg comes before frame10.jpg.
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", os.path.basename(path))]


def _reason(error: "FFmpegError") -> str:
    return (error.strerror or str(error)).partition(": ")[0].lower()
