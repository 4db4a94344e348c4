"""Video files, read in order: decoded frames, and the packets of all other streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.media.clock import AnyPacket
from vcam_relight.vcam.media.decoder import VideoDecoder, main_video
from vcam_relight.vcam.media.files import av_name
from vcam_relight.vcam.media.frames import FrameConverter

if TYPE_CHECKING:
    from av.container.core import Chapter  # only its stub has it

_SHORT_S = 0.5  # a file that ends this much before its stated duration was cut


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame's image and all that is not in its pixels."""

    image: BgrImage
    """As stored, not turned upright."""
    frame: av.VideoFrame
    """The decoder's frame: its tags, side data and duration."""
    pts: int
    """In units of the stream's time base, from the beginning; grows from frame to frame."""
    seconds: float
    """The same in seconds."""


@dataclass(slots=True)
class VideoReader:
    """A video file being read."""

    path: Path
    container: InputContainer
    stream: VideoStream
    decoder: VideoDecoder
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
        stream = main_video(container)
        if stream is None:
            container.close()
            raise InputError(f"{path} has no video stream", "use a file that has one")
        return VideoReader(path, container, stream, VideoDecoder(container, stream))

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.container.close()

    @property
    def expected_frames(self) -> int | None:
        """How many frames the file says or suggests that it has; None when it says nothing."""
        if self.stream.frames:
            return self.stream.frames
        rate, seconds = self.decoder.clock.rate, self._stated_seconds
        return round(seconds * rate) if rate and seconds else None

    @property
    def chapters(self) -> list[Chapter]:
        """The container's chapters, at their time from the beginning."""
        start = -self.decoder.packets.begin
        chapters = self.container.chapters()
        for chapter in chapters:
            shift = round(start / chapter["time_base"]) if chapter["time_base"] else 0
            chapter["start"] += shift
            chapter["end"] += shift
        return chapters

    def items(self) -> Iterator[Decoded | AnyPacket]:
        """All decoded frames, and the packets of the other streams, in the file's order."""
        converter = FrameConverter(exact=True)
        decoder, start = self.decoder, None
        for packet in self._packets():
            decoder.packets.correct(packet)
            if packet.stream is not self.stream:
                if packet.size:
                    yield packet
                continue
            for frame, pts in decoder.decode(packet):
                start = pts if start is None else start
                seconds = float(pts * self.time_base)
                yield Decoded(converter.to_image(frame), frame, pts, seconds)
        if decoder.interlaced:
            self.notes.append("it is interlaced: the picture was de-interlaced")
        if decoder.damaged:
            self.notes.append(f"damaged pieces: {decoder.damaged}; what could be decoded was kept")
        if decoder.lost:
            self.notes.append(f"frames that could not be decoded: {decoder.lost}")
        begin = float(decoder.packets.begin)
        stated = self._stated_seconds - max(begin, 0.0)  # some containers state the end
        if start is not None and stated > 0 and not decoder.packets.restarted:
            lasted = float((decoder.clock.end - start) * self.time_base)
            if lasted < stated - max(_SHORT_S, 0.05 * stated):
                self.notes.append(
                    f"the video ends after {lasted:.1f} of {stated:.1f} s: it is cut short"
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
