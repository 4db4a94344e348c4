"""Video files, read in order: decoded frames, and the packets of all other streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.media.files import av_name
from vcam_relight.vcam.media.frames import FrameConverter

AnyPacket: TypeAlias = "av.Packet[Stream]"

_SHORT_S = 0.5  # a file that ends this much before its stated duration was cut


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame's image and all that is not in its pixels."""

    image: BgrImage
    """As stored, not turned upright."""
    frame: av.VideoFrame
    """The decoder's frame: its tags, side data and duration."""
    pts: int
    """In units of the stream's time base; grows from frame to frame."""
    seconds: float
    """The same in seconds."""


@dataclass(slots=True)
class VideoReader:
    """A video file being read."""

    path: Path
    container: InputContainer
    stream: VideoStream
    notes: list[str] = field(default_factory=list)
    """What was wrong with the file, in words, complete when it has been read."""

    @staticmethod
    def open(path: Path) -> VideoReader:
        """Opens a file and picks its main video stream.

        Raises:
            InputError: it is no video file, is damaged, or has no video stream.
        """
        try:
            container = av.open(av_name(path), metadata_errors="replace")
        except av.FFmpegError as error:
            raise InputError(
                f"{path} is not a video that can be read ({reason(error)})",
                "use an intact video file",
            ) from None
        streams = [s for s in container.streams.video if not _is_cover(s)]
        if not streams:
            container.close()
            raise InputError(f"{path} has no video stream", "use a file that has one")
        streams[0].thread_type = "AUTO"
        return VideoReader(path, container, streams[0])

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.container.close()

    @property
    def expected_frames(self) -> int | None:
        """How many frames the file says or suggests that it has; None when it says nothing."""
        if self.stream.frames:
            return self.stream.frames
        rate, seconds = self.rate, self._stated_seconds
        return round(seconds * rate) if rate and seconds else None

    @property
    def rate(self) -> Fraction | None:
        """Nominal frames per second."""
        return self.stream.average_rate or self.stream.guessed_rate or None

    def items(self) -> Iterator[Decoded | AnyPacket]:
        """All decoded frames, and the packets of the other streams, in the file's order."""
        converter = FrameConverter(exact=True)
        damaged, skipped, last, end = 0, 0, None, 0.0
        step = self._frame_step()
        for packet in self._packets():
            if packet.stream is not self.stream:
                if packet.size:
                    yield packet
                continue
            try:
                frames = self.stream.decode(packet)
            except av.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                pts = frame.pts if frame.pts is not None else (last + step if last else 0)
                if last is not None and pts <= last:
                    skipped += 1
                    continue
                damaged += frame.is_corrupt
                last, end = pts, float((pts + step) * self.time_base)
                seconds = float(pts * self.time_base)
                yield Decoded(converter.to_image(frame), frame, pts, seconds)
        if damaged:
            self.notes.append(f"{damaged} damaged pieces: what could be decoded was kept")
        if skipped:
            self.notes.append(f"{skipped} frames without a time of their own were left out")
        stated = self._stated_seconds
        start = float((self.stream.start_time or 0) * self.time_base)
        if last is not None and stated and end - start < stated - max(_SHORT_S, 0.05 * stated):
            self.notes.append(
                f"the video ends after {end - start:.1f} of {stated:.1f} s: it is cut short"
            )

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of the video stream's timestamps."""
        return self.stream.time_base or Fraction(1, 90_000)

    @property
    def _stated_seconds(self) -> float:
        if self.stream.duration:
            return float(self.stream.duration * self.time_base)
        return (self.container.duration or 0) / 1e6  # AV_TIME_BASE

    def _frame_step(self) -> int:
        return max(int(1 / ((self.rate or 30) * self.time_base)), 1)

    def _packets(self) -> Iterator[AnyPacket]:
        packets = self.container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                self.notes.append(f"reading stopped early ({reason(error)})")
                break
            yield packet
        flush = av.Packet()
        flush.stream = self.stream
        yield flush


def reason(error: Exception) -> str:
    """FFmpeg's own words, without the number and the file's name."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".").lower()


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)
