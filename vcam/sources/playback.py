"""What a file, a pipe or an address plays: frames, each with its time."""

import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np
from av.container import InputContainer

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.errors import InputError, SourceError, SourceLost
from vcam_relight.vcam.media.clock import NO_TIMESTAMPS, AnyPacket
from vcam_relight.vcam.media.decoder import VideoDecoder, main_video
from vcam_relight.vcam.media.files import av_name
from vcam_relight.vcam.media.frames import FrameConverter, orientation
from vcam_relight.vcam.media.image import IMAGE_SUFFIXES, read_image
from vcam_relight.vcam.media.orientation import Orientation
from vcam_relight.vcam.media.video_reader import reason
from vcam_relight.vcam.sources.pipe import PipeReader

DEFAULT_FPS = 30.0
OPEN_TIMEOUT_S = 7.0
"""For the first frames, from which FFmpeg learns what the stream is: three of a slow camera's."""
READ_TIMEOUT_S = 10.0
"""For a packet: a camera may send one frame in several seconds."""
SNAPSHOT_PERIOD_S = 1.0
"""Between two requests of an image that a server makes anew each time."""

_JUMP_S = 10.0  # a longer gap between two frames is a fault in the file, not a pause
_WIDEST_PIXEL = 16.0  # a pixel's sides differ by less, unless the file is damaged


class Player(Protocol):
    """Plays one thing, for ever or until it ends."""

    @property
    def paced(self) -> bool:
        """Whether whoever plays it waits until a frame is due; else it comes when it is there."""

    def next(self) -> tuple[BgrImage, float]:
        """The next frame, upright with square pixels, and its time in seconds, which grows.

        Raises:
            SourceLost: it ended, or does not go on.
        """

    def close(self) -> None:
        """Closes what is open."""


def play_file(path: Path, fps: float, closed: threading.Event) -> Player:
    """Opens a local file by what it is.

    Args:
        path: a video, an image, or a named pipe.
        fps: frames per second of an image.
        closed: set when nobody wants frames any more.

    Raises:
        SourceError: it is missing, damaged, holds no image, or is a device.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _no_open(path.name, error, "check the path") from None
    if stat.S_ISFIFO(mode):
        return _Video(str(path), path.name, closed)
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a device, not a file"
        raise SourceError(f"{path.name} is {what}", "give the path of a video or picture file")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _Still(path, fps)
    video = _Video(av_name(path), path.name)
    if video.is_snapshot:  # an image whose name does not say so
        video.close()
        return _Still(path, fps)
    return video


def play_url(url: str, label: str, closed: threading.Event) -> Player:
    """Connects to an address.

    Args:
        url: what FFmpeg takes.
        label: the address without secrets.
        closed: set when nobody wants frames any more.

    Raises:
        SourceError: no answer, or one without an image.
    """
    video = _Video(url, label, is_url=True)
    return _Snapshots(video, closed) if video.is_snapshot else video


class _Still:
    """One image, for ever."""

    paced = True

    def __init__(self, path: Path, fps: float) -> None:
        try:
            self._image = read_image(path).image
        except InputError as error:
            raise SourceError(error.what, error.hint) from None
        self._period = 1.0 / fps
        self._count = -1

    def next(self) -> tuple[BgrImage, float]:
        self._count += 1
        return self._image, self._count * self._period

    def close(self) -> None:
        """Nothing is held."""


class _Video:
    """A video file in a loop, or a stream that ends when it ends."""

    def __init__(
        self, name: str, label: str, pipe: threading.Event | None = None, is_url: bool = False
    ) -> None:
        self._name, self._label, self._is_url, self._pipe = name, label, is_url, pipe
        self._converter = FrameConverter()
        self._orientation: Orientation | None = None
        self._seconds: float | None = None
        self._period = 1 / DEFAULT_FPS
        self._begin = time.monotonic()
        self.open()

    @property
    def paced(self) -> bool:
        """Whether it has a pace of its own; live network streams do not, and pipes can wait."""
        return not self._is_url or bool(self._container.duration)

    @property
    def is_snapshot(self) -> bool:
        """Whether it is a single image."""
        return self._container.format.name.endswith("_pipe") and self._pipe is None

    def next(self) -> tuple[BgrImage, float]:
        decoded = self._decode()
        if decoded is None:
            if self._pipe is not None or not self.paced:
                raise SourceLost(f"{self._label} ended", "it is tried again")
            self.close()
            self.open()
            decoded = self._decode()
            if decoded is None:
                raise SourceError(
                    f"no frame of {self._label} can be decoded", "use an intact video file"
                )
        frame, pts = decoded
        if self._orientation is None:
            self._orientation = orientation(frame)
        image = self._square(self._converter.to_image(frame))
        return self._orientation.upright(image), self._media_time(pts)

    def close(self) -> None:
        self._container.close()
        self._close_reader()

    def open(self) -> None:
        """Opens the file again, or connects again."""
        self._reader = PipeReader(Path(self._name), self._pipe) if self._pipe is not None else None
        try:
            self._container = self._connected()
            if self._reader is not None and self._reader.interruption is not None:
                raise self._reader.interruption
        except BaseException:
            self._close_reader()
            raise
        stream = main_video(self._container)
        if stream is None:
            self.close()
            raise SourceError(f"{self._label} has no video", "use a file that has one")
        self._stream = stream
        self._decoder = VideoDecoder(self._container, stream, _JUMP_S)
        self._time_base = float(stream.time_base or 1 / 90_000)
        self._offset: float | None = None
        self._orientation = None
        untimed = self._container.format.flags & NO_TIMESTAMPS
        self._by_arrival = bool(untimed) and (self._is_url or self._pipe is not None)
        if self._decoder.clock.rate:
            self._period = float(1 / self._decoder.clock.rate)
        self._frames = self._decoded()

    def _connected(self) -> InputContainer:
        begin = time.monotonic()
        try:
            if self._reader is not None:
                self._reader.wait(OPEN_TIMEOUT_S)
                return av.open(self._reader, "r", metadata_errors="replace")
            return av.open(
                self._name,
                "r",
                metadata_errors="replace",
                timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S) if self._is_url else None,
                options={"rtsp_transport": "tcp"} if self._name.startswith("rtsp") else {},
            )
        except (OSError, av.FFmpegError) as error:
            hint = "check the address" if self._is_url else "use an intact video or picture file"
            if self._is_url and time.monotonic() - begin > OPEN_TIMEOUT_S - 0.5:
                what = f"{self._label} did not answer within {OPEN_TIMEOUT_S:g} s"
                raise SourceError(what, hint) from None
            raise _no_open(self._label, error, hint) from None

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _decode(self) -> tuple[av.VideoFrame, int] | None:
        """The next frame; None at the end."""
        try:
            return next(self._frames, None)
        except av.FFmpegError as error:
            if self._is_url:
                raise SourceLost(
                    f"{self._label} stopped ({reason(error)})", "it is tried again"
                ) from None
            return None  # the rest of the file is damaged: what came before goes in a loop

    def _decoded(self) -> Iterator[tuple[av.VideoFrame, int]]:
        packets: Iterator[AnyPacket] = self._container.demux(*[self._stream])
        for packet in packets:
            self._decoder.packets.correct(packet)
            yield from self._decoder.decode(packet)

    def _media_time(self, pts: int) -> float:
        """The time of a frame, which goes on when the file begins again."""
        stated = pts * self._time_base
        if self._offset is None:
            due = 0.0 if self._seconds is None else self._seconds + self._period
            self._offset = due - stated
        seconds = stated + self._offset
        if self._by_arrival:  # the format knows no times: those that FFmpeg makes up are no one's
            now = time.monotonic()
            if self._seconds is None:
                self._begin = now - seconds
            arrived = now - self._begin
            seconds = max(arrived, seconds) if self._pipe is not None else arrived
            self._offset = seconds - stated
        self._seconds = seconds
        return seconds

    def _square(self, image: BgrImage) -> BgrImage:
        """The image with square pixels, made larger where they are not."""
        aspect = float(self._stream.sample_aspect_ratio or 1)
        if aspect == 1 or not 1 / _WIDEST_PIXEL < aspect < _WIDEST_PIXEL:
            return image
        height, width = image.shape[:2]
        size = (round(width * max(aspect, 1)), round(height / min(aspect, 1)))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


class _Snapshots:
    """An image that a server makes anew each time: asked for again and again, at a modest rate."""

    paced = False

    def __init__(self, first: _Video, closed: threading.Event) -> None:
        self._video, self._closed = first, closed
        self._asked = self._begin = time.monotonic()
        self._fresh = True

    def next(self) -> tuple[BgrImage, float]:
        if not self._fresh:
            self._closed.wait(max(self._asked + SNAPSHOT_PERIOD_S - time.monotonic(), 0.0))
            self._asked = time.monotonic()
            self._video.close()
            self._video.open()
        self._fresh = False
        image, _ = self._video.next()
        return image, self._asked - self._begin

    def close(self) -> None:
        self._video.close()


def _no_open(label: str, error: Exception, hint: str) -> SourceError:
    return SourceError(f"{label} cannot be opened ({reason(error)})", hint)
