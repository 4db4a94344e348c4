"""Records what is shown to a video file."""

import contextlib
import logging
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from vcam_relight.vcam.core.atomic_file import create_part, free_name
from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.core.frame import TIME_BASE, Frame
from vcam_relight.vcam.media.files import H264, MOVIES, VP9, av_name, encoder_of
from vcam_relight.vcam.media.frames import Colour, FrameConverter
from vcam_relight.vcam.media.letterbox import Letterbox, even
from vcam_relight.vcam.media.video_reader import reason
from vcam_relight.vcam.sinks.sink import ProcessedFrame, Sink

log = logging.getLogger(__name__)

_OPTIONS = {
    # Without B-frames the first frame's decoding time is not below 0: fragments have no edit list.
    H264: {"crf": "20", "preset": "superfast", "bf": "0"},
    VP9: {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "8"},
}
"""Encoder -> options that keep up with a camera."""

_KEYFRAME_S = 2.0
"""Between keyframes, where movies' fragments begin: no more is lost should the program die."""

_FILE_ERRORS = (OSError, av.FFmpegError)

_BT709 = Colour.bt709()


class RecorderSink(Sink):
    """A video file with each frame at the time it was taken.

    Never overwrites: where the name is taken, a number is added, also when recording starts again
    after a failure. While it is written the file has a name of its own (`.NAME.part.mp4`, with a
    number where that one is taken).
    """

    kind = "recording"

    def __init__(self, path: Path, fps: float) -> None:
        """Creates nothing yet.

        Args:
            path: its ending is one of `vcam.media.files.ENCODERS`.
            fps: nominal frames per second; the times of the frames are their own.

        Raises:
            InputError: no known ending.
        """
        encoder_of(path)
        self.label = f"recording {path.name}"
        self._path = path
        self._fps = fps
        self._temporary: Path | None = None
        self._file: _File | None = None
        self._failure: Exception | None = None
        self.saved: Path | None = None
        """The newest complete file."""

    def open(self) -> None:
        """Makes sure that the file can be written; does nothing when it is open.

        Raises:
            SinkError: no such folder, or not allowed.
        """
        if self._temporary is not None:
            return
        self._failure = None
        try:
            self._temporary = create_part(self._path)
        except OSError as error:
            raise self._error(error) from None

    def write(self, frame: ProcessedFrame) -> None:
        """Adds one frame; the first one sets the size, others are fitted into it.

        Raises:
            SinkError: the file cannot be written.
        """
        if self._temporary is None:
            raise SinkError(f"{self._path} is not open")
        try:
            if self._file is None:
                self._file = _File(self._temporary, self._fps, frame.output)
            self._file.write(frame.output)
        except _FILE_ERRORS as error:
            self._failure = error
            raise self._error(error) from None

    def close(self) -> None:
        """Completes the file and gives it its name; a second call does nothing.

        Raises:
            SinkError: the recording is cut short, in which case what can be played is kept, or
                it cannot take its name.
        """
        temporary, self._temporary = self._temporary, None
        file, self._file = self._file, None
        if temporary is None:
            return
        if file is not None:
            try:
                file.close(flush=self._failure is None)
            except _FILE_ERRORS as error:
                self._failure = self._failure or error
        if file is None or (self._failure is not None and not _is_playable(temporary)):
            with contextlib.suppress(OSError):
                temporary.unlink()
        else:
            self._keep(temporary)
        if self._failure is not None:
            raise self._error(self._failure)

    def _keep(self, temporary: Path) -> None:
        target = free_name(self._path)
        try:
            temporary.replace(target)
        except OSError as error:
            raise SinkError(
                f"the recording could not be named {target} ({reason(error)})",
                f"it is at {temporary}",
            ) from None
        self.saved = target
        log.info("recorded %s%s", target, " (cut short)" if self._failure else "")

    def _error(self, error: Exception) -> SinkError:
        return SinkError(
            f"{self._path} cannot be written ({reason(error)})",
            "choose another place with --record, or free some space",
        )


class _File:
    """The file being encoded."""

    def __init__(self, path: Path, fps: float, first: Frame) -> None:
        codec = encoder_of(path)
        # Playable up to the last fragment should the program die; an ordinary file when completed.
        muxing = {"flush_packets": "1"}
        if path.suffix.lower() in MOVIES:
            muxing["movflags"] = "+hybrid_fragmented"
        self._container = av.open(av_name(path), "w", options=muxing)
        stream = self._container.add_stream(
            codec, rate=Fraction(fps).limit_denominator(1001), options=_OPTIONS[codec]
        )
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{codec} is no video encoder")
        height, width = first.image.shape[:2]
        size = even((width, height))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = TIME_BASE
        stream.codec_context.gop_size = round(fps * _KEYFRAME_S)
        _BT709.tag(stream.codec_context)
        self._stream = stream
        self._letterbox = Letterbox(size)
        self._converter = FrameConverter()
        self._period = round(1 / fps / TIME_BASE)
        self._start = first.pts
        self._last = -1

    def write(self, frame: Frame) -> None:
        pts = frame.pts - self._start
        if pts <= self._last:  # the source began again
            self._start -= self._last + self._period - pts
            pts = self._last + self._period
        self._last = pts
        encoded = self._converter.from_image(self._letterbox.fit(frame.image), _BT709)
        encoded.pts, encoded.time_base = pts, TIME_BASE
        encoded.duration = self._period
        self._container.mux(self._stream.encode(encoded))

    def close(self, flush: bool) -> None:
        """Completes the file.

        Without `flush` (libav crashes on it after a failed write) the frames that the encoder
        still holds are lost.
        """
        try:
            if flush:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


def _is_playable(path: Path) -> bool:
    try:
        with av.open(av_name(path)) as container:
            return next(container.decode(video=0), None) is not None
    except (*_FILE_ERRORS, IndexError):  # IndexError: it has no stream
        return False
