"""A container's main video: which stream it is, and its frames, each with a time of its own."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.filter import Graph
from av.stream import Disposition
from av.video.stream import VideoStream

from vcam_relight.vcam.media.clock import AnyPacket, FrameClock, PacketClock


def main_video(container: InputContainer) -> VideoStream | None:
    """The first video stream that is no cover art."""
    films = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
    return next(films, None)


class VideoDecoder:
    """Decodes one stream: frames in order of time, interlaced ones made progressive."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, longest_gap: float | None = None
    ) -> None:
        """Nothing is read yet.

        Args:
            container: read from its beginning by this decoder alone.
            stream: one of its streams.
            longest_gap: seconds; a longer pause counts as a fault in the file.
        """
        stream.thread_type = "AUTO"
        self.stream = stream
        self.packets = PacketClock(container, longest_gap)
        self.clock = FrameClock(container, stream)
        self.damaged = 0
        """Packets and frames that were not whole."""
        self._expected = 0
        self.interlaced = False
        """Whether any frame was."""
        self._deinterlacer: _Deinterlacer | None = None

    @property
    def lost(self) -> int:
        """Frames that FFmpeg dropped without an error, once the last ones are out.

        Known where each packet is a frame: progressive H.264 and H.265.
        """
        one_each = self.stream.codec_context.name in ("h264", "hevc") and not self.interlaced
        return max(self._expected, 0) if one_each else 0

    def decode(self, packet: AnyPacket) -> Iterator[tuple[av.VideoFrame, int]]:
        """The frames that come out when a packet goes in, with their times in the stream's units.

        An empty packet takes out the last ones.
        """
        if not packet.size and packet.dts is not None:  # a frame that was left out
            return
        self.clock.sent(packet)
        self._expected += bool(packet.size) and not packet.is_discard
        try:
            decoded = self.stream.decode(packet)
        except av.FFmpegError:  # the next one may be whole
            self.damaged += 1
            self._expected -= 1
            self.clock.lost(packet)
            return
        for frame in decoded:
            self.damaged += frame.is_corrupt
            self._expected -= 1
            frame.pts = self.clock.time_of(frame)
            frame.duration = self.clock.duration_of(frame)
            frame.time_base = self.stream.time_base or frame.time_base
            yield from self._progressive(frame)
        if not packet.size and self._deinterlacer is not None:
            yield from _timed(self._deinterlacer.finish())

    def _progressive(self, frame: av.VideoFrame) -> Iterator[tuple[av.VideoFrame, int]]:
        layout = (frame.width, frame.height, frame.format.name)
        if self._deinterlacer is not None and self._deinterlacer.layout != layout:
            yield from _timed(self._deinterlacer.finish())
            self._deinterlacer = None
        if self._deinterlacer is None and frame.interlaced_frame:
            self.interlaced = True
            self._deinterlacer = _Deinterlacer(frame)
        if self._deinterlacer is None:
            yield frame, frame.pts or 0
        else:
            yield from _timed(self._deinterlacer.push(frame))


class _Deinterlacer:
    """FFmpeg's bwdif: one frame for each; those that are progressive pass."""

    def __init__(self, first: av.VideoFrame) -> None:
        self.layout = (first.width, first.height, first.format.name)
        self._time_base = first.time_base or Fraction(1, 90_000)
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=first.width,
            height=first.height,
            format=first.format,
            time_base=self._time_base,
        )
        work = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        sink = self._graph.add("buffersink")
        source.link_to(work)
        work.link_to(sink)
        self._graph.configure()

    def push(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        self._graph.push(frame)
        return self._pull()

    def finish(self) -> Iterator[av.VideoFrame]:
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> Iterator[av.VideoFrame]:
        while True:
            try:
                made = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if isinstance(made, av.VideoFrame):
                scale = (made.time_base or self._time_base) / self._time_base  # it counts fields
                made.pts, made.duration = (
                    round((made.pts or 0) * scale),
                    round(made.duration * scale),
                )
                made.time_base = self._time_base
                yield made


def _timed(frames: Iterator[av.VideoFrame]) -> Iterator[tuple[av.VideoFrame, int]]:
    for frame in frames:
        yield frame, frame.pts or 0
