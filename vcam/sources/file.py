"""Files and network streams as a camera."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.errors import InputError, SourceError, SourceLost
from vcam_relight.vcam.core.frame import TIME_BASE, Frame
from vcam_relight.vcam.media.files import av_name
from vcam_relight.vcam.media.frames import FrameConverter, orientation
from vcam_relight.vcam.media.image import IMAGE_SUFFIXES, read_image
from vcam_relight.vcam.media.orientation import Orientation
from vcam_relight.vcam.media.video_reader import reason
from vcam_relight.vcam.sources.source import Source

OPEN_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 2.0
DEFAULT_FPS = 30.0

_URL = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]+://)"
    r"([^/?#]*@)?"
    r"(?P<place>(\[[^][@/?#]*\]|[^][:@/?#]*)(:[0-9]*)?(/[^?#]*)?)"
    r"([?#].*)?",
    re.DOTALL,
)

_LATE_S = 0.5  # behind by more than this, the clock is set anew instead of hurrying
_JUMP_S = 10.0  # a longer gap between two frames is a fault in the file, not a pause


def is_url(text: str) -> bool:
    """Whether it names a network stream rather than a file."""
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text) is not None


class FileSource(Source):
    """A video file in a loop, a still image again and again, or a network stream.

    Files are played at their own pace. Frames have the file's own size; sinks fit them into
    theirs.
    """

    kind = "file"

    def __init__(self, path_or_url: str, fps: float = DEFAULT_FPS) -> None:
        """Opens nothing yet.

        Args:
            path_or_url: a file, or `http://`, `https://`, `rtsp://`, `rtmp://`, `udp://`, ….
            fps: frames per second of a still image; videos have their own.
        """
        self._name = path_or_url
        self._is_url = is_url(path_or_url)
        self._fps = fps
        self.label = _without_secrets(path_or_url) if self._is_url else Path(path_or_url).name
        self._player: _Video | _Still | None = None
        self._lock = threading.Lock()  # FFmpeg's objects die on their own thread, or not in use
        self._closed = threading.Event()
        self._origin: float | None = None
        self._base = 0.0  # media time at which the file was opened (again)
        self._last_pts = -1

    def open(self) -> None:
        """Opens the file or connects.

        Raises:
            SourceError: it is missing, damaged, holds no image, or the server does not answer.
        """
        with self._lock:
            self._closed.clear()
            if self._player is not None:
                return
            self._origin = None
            self._base = float((self._last_pts + 1) * TIME_BASE)
            if not self._is_url and Path(self._name).suffix.lower() in IMAGE_SUFFIXES:
                self._player = _Still(Path(self._name), self._fps)
            else:
                self._player = _Video(self._name, self.label, self._is_url)

    def read(self) -> Frame | None:
        """The next frame at the time it is due; None once `close` was called.

        Raises:
            SourceLost: the connection ended, or the file cannot be read on.
        """
        with self._lock:
            if self._player is None or self._closed.is_set():
                return None
            image, seconds = self._player.next()
            paced = self._player.paced
        if paced and not self._wait_until(seconds):
            return None
        pts = max(round((self._base + seconds) / TIME_BASE), self._last_pts + 1)
        self._last_pts = pts
        return Frame(image, time.perf_counter(), pts)

    def close(self) -> None:
        """Ends a waiting `read`, closes the file; a second call does nothing."""
        self._closed.set()
        with self._lock:
            if self._player is not None:
                self._player.close()
                self._player = None

    def _wait_until(self, seconds: float) -> bool:
        """Waits for media time `seconds`; False when closed meanwhile."""
        now = time.perf_counter()
        if self._origin is None or now - (self._origin + seconds) > _LATE_S:
            self._origin = now - seconds
        return not self._closed.wait(max(self._origin + seconds - now, 0.0))


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

    def __init__(self, name: str, label: str, is_url: bool) -> None:
        self._name, self._label, self._is_url = name, label, is_url
        self._converter = FrameConverter()
        self._seconds: float | None = None
        self._orientation: Orientation | None = None
        self._open()

    def next(self) -> tuple[BgrImage, float]:
        """The next image, upright, and its time in seconds, growing across loops."""
        frame = self._decode()
        if frame is None:
            if not self.paced:
                raise SourceLost(f"{self._label} ended", "it is tried again")
            self._container.close()
            self._open()
            frame = self._decode()
            if frame is None:
                raise SourceError(
                    f"no frame of {self._label} can be decoded", "use an intact video file"
                )
        if self._orientation is None:
            self._orientation = orientation(frame)
        image = self._orientation.upright(self._converter.to_image(frame))
        return image, self._media_time(frame)

    def close(self) -> None:
        """Closes the file or the connection."""
        self._container.close()

    def _open(self) -> None:
        try:
            self._container = av.open(
                self._name if self._is_url else av_name(Path(self._name)),
                metadata_errors="replace",
                timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S) if self._is_url else None,
                options={"rtsp_transport": "tcp"} if self._name.startswith("rtsp") else {},
            )
        except av.FFmpegError as error:
            raise SourceError(
                f"{self._label} cannot be opened ({reason(error)})",
                "check the address" if self._is_url else "use an intact video or picture file",
            ) from None
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{self._label} has no video", "use a file that has one")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._period = float(1 / rate) if rate else 1 / DEFAULT_FPS
        self.paced = not self._is_url or bool(self._container.duration)
        self._offset: float | None = None
        self._orientation = None
        self._frames = self._decoded()

    def _decode(self) -> av.VideoFrame | None:
        """The next frame; None at the end."""
        try:
            return next(self._frames, None)
        except av.FFmpegError as error:
            if self._is_url:
                raise SourceLost(
                    f"{self._label} stopped ({reason(error)})", "it is tried again"
                ) from None
            return None  # the rest of the file is damaged: what came before goes in a loop

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self._container.demux(self._stream):
            try:
                yield from self._stream.decode(packet)
            except av.error.InvalidDataError:  # one damaged packet; the next may be whole
                continue

    def _media_time(self, frame: av.VideoFrame) -> float:
        due = 0.0 if self._seconds is None else self._seconds + self._period
        if frame.pts is None or not frame.time_base:
            self._seconds = due
            return due
        stated = float(frame.pts * frame.time_base)
        if self._offset is None:
            self._offset = due - stated
        step = stated + self._offset - (due - self._period)
        if not 0 < step < _JUMP_S:
            self._offset = due - stated
        self._seconds = stated + self._offset
        return self._seconds


def _without_secrets(url: str) -> str:
    """Scheme, host, port and path: no user, password, query or fragment, where tokens are."""
    match = _URL.fullmatch(url)
    if match is None:  # a password with / or ?, perhaps: nothing is safe to show
        return url.partition("://")[0] + "://…"
    return match["scheme"] + match["place"]
