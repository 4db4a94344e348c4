"""Records what is shown to a video file."""

import contextlib
import logging
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from vcam.av_frames import Colour, Converter
from vcam.errors import SinkError
from vcam.frame import TIME_BASE, Frame
from vcam.letterbox import Letterbox, even
from vcam.safe_file import free_name
from vcam.sinks.sink import Delivery
from vcam.video_reader import reason

log = logging.getLogger(__name__)

# Without B-frames the first frame's decoding time is not below 0: fragments have no edit list.
_X264 = ("libx264", {"crf": "20", "preset": "superfast", "bf": "0"})
_VP9 = ("libvpx-vp9", {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "8"})
ENCODERS = {".mp4": _X264, ".m4v": _X264, ".mov": _X264, ".mkv": _X264, ".webm": _VP9}
"""File name ending, in lower case -> encoder and options that keep up with a camera."""

_FILE_ERRORS = (OSError, av.FFmpegError)

_BT709 = Colour.bt709()


class RecorderSink:
    """A video file with each frame at the time it was taken.

    Never overwrites: where the name is taken, a number is added, also when recording starts again
    after a failure. While it is written the file has a name of its own (`.NAME.part.mp4`).
    """

    wanted = True

    def __init__(self, path: Path, fps: float) -> None:
        """
        Args:
            path: its ending is one of `ENCODERS`.
            fps: nominal frames per second; the times of the frames are their own.
        """
        self.label = f"recording {path.name}"
        self._path = path
        self._fps = fps
        self._target: Path | None = None
        self._temporary: Path | None = None
        self._file: _File | None = None

    def open(self) -> None:
        """Makes sure that the file can be written.

        Raises:
            SinkError: unknown ending, or no such folder, or not allowed.
        """
        if self._path.suffix.lower() not in ENCODERS:
            raise SinkError(
                f"{self._path} has no known video ending", f"use one of {', '.join(ENCODERS)}"
            )
        self._target = free_name(self._path)
        self._temporary = self._target.with_name(f".{self._target.stem}.part{self._target.suffix}")
        try:
            self._temporary.touch()
        except _FILE_ERRORS as error:
            self._temporary = None
            raise self._error(error) from None

    def write(self, delivery: Delivery) -> None:
        """Adds one frame; the first one sets the size, others are fitted into it.

        Raises:
            SinkError: the file cannot be written.
        """
        if self._temporary is None:
            raise SinkError(f"{self._path} is not open")
        try:
            if self._file is None:
                self._file = _File(self._temporary, self._fps, delivery.output)
            self._file.write(delivery.output)
        except _FILE_ERRORS as error:
            raise self._error(error) from None

    def close(self) -> None:
        """Completes the file and gives it its name; a second call does nothing."""
        temporary, self._temporary = self._temporary, None
        file, self._file = self._file, None
        if temporary is None or self._target is None:
            return
        if file is None:  # nothing was recorded
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        try:
            file.close()
        except _FILE_ERRORS as error:  # what was written so far can be played, so it is kept
            log.warning("the recording is cut short: %s", reason(error))
        try:
            self._target = free_name(self._target)  # someone may have taken it meanwhile
            temporary.replace(self._target)
            log.info("recorded %s", self._target)
        except _FILE_ERRORS as error:
            log.warning("the recording stays at %s (%s)", temporary, reason(error))

    def _error(self, error: Exception) -> SinkError:
        return SinkError(
            f"{self._path} cannot be written ({reason(error)})",
            "choose another place with --record, or free some space",
        )


class _File:
    """The file being encoded."""

    def __init__(self, path: Path, fps: float, first: Frame) -> None:
        codec, options = ENCODERS[path.suffix.lower()]
        # Playable up to the last fragment should the program die; an ordinary file when completed.
        movie = path.suffix.lower() in (".mp4", ".m4v", ".mov")
        self._container = av.open(
            str(path), "w", options={"movflags": "+hybrid_fragmented"} if movie else {}
        )
        stream = self._container.add_stream(
            codec, rate=Fraction(fps).limit_denominator(1001), options=options
        )
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{codec} is no video encoder")
        height, width = first.picture.shape[:2]
        size = even((width, height))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = TIME_BASE
        _BT709.tag(stream.codec_context)
        self._stream = stream
        self._letterbox = Letterbox(size)
        self._converter = Converter()
        self._period = round(1 / fps / TIME_BASE)
        self._start = first.pts
        self._last = -1

    def write(self, frame: Frame) -> None:
        pts = frame.pts - self._start
        if pts <= self._last:  # the source began again
            self._start -= self._last + self._period - pts
            pts = self._last + self._period
        self._last = pts
        encoded = self._converter.from_picture(self._letterbox.fit(frame.picture), _BT709)
        encoded.pts, encoded.time_base = pts, TIME_BASE
        encoded.duration = self._period
        self._container.mux(self._stream.encode(encoded))

    def close(self) -> None:
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
