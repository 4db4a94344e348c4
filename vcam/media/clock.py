"""The time of packets and frames, one that grows, whatever the file says.

Two clocks in a row. `PacketClock` shifts the timestamps of all streams of a file together: to 0
where a recording began in the middle of the day, and on from the last packet where it starts again.
`FrameClock` gives each decoded frame a time of its own.
"""

from __future__ import annotations

import heapq
from fractions import Fraction
from typing import TypeAlias

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

AnyPacket: TypeAlias = "av.Packet[Stream]"

NO_TIMESTAMPS = 0x0080
"""AVFMT_NOTIMESTAMPS, of a format's flags: raw streams and images over HTTP say no times."""
_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT

_BACK = Fraction(1, 10)
_GAP = Fraction(10)
_GAP_ELSEWHERE = Fraction(30 * 3600)
"""Seconds by which decoding times may go back or leap before they count as begun again: FFmpeg's
own for formats with discontinuities (TS, PS) and for others."""

_MOST_LEAD = Fraction(1)  # seconds

_MOST_WAITING = 64
"""Decoding times kept for frames that have not come out: reordering and threads need about 30."""


class PacketClock:
    """Corrects the timestamps of a container's packets, in place."""

    def __init__(self, container: InputContainer, longest_gap: float | None = None) -> None:
        """Starts at the container's first packet.

        Args:
            container: read from its beginning.
            longest_gap: seconds; a longer pause counts as a new beginning.
        """
        begin = Fraction(container.start_time or 0, av.time_base)
        self.begin = Fraction(0) if -_BACK <= begin < 0 else begin
        """Seconds at which the file says that it begins; an encoder's lead-in is before that."""
        self._offset = -self.begin
        discontinuous = bool(container.format.flags & _TS_DISCONT)
        usual = _GAP if discontinuous else _GAP_ELSEWHERE
        self._gap = usual if longest_gap is None else Fraction(longest_gap)
        self.restarted = False
        """Whether the times began again on the way."""
        self._ends: dict[int, Fraction] = {}  # of decoding, by stream
        self._shown_until = Fraction(0)

    def correct(self, packet: AnyPacket) -> None:
        """Shifts the packet's times; call it once for each, in the file's order."""
        base = packet.time_base
        if not base:
            return
        # Presentation times leap to and fro, and subtitles pause for as long as they like.
        if packet.dts is not None and packet.stream.type in ("video", "audio"):
            begin = packet.dts * base + self._offset
            expected = self._ends.get(packet.stream.index)
            if expected is not None and not -_BACK <= begin - expected <= self._gap:
                self.restarted = True
                shown = packet.pts if packet.pts is not None else packet.dts
                self._offset = self._shown_until + self._lead(packet.stream) - shown * base
                begin = packet.dts * base + self._offset
                self._ends.clear()
            length = (packet.duration or 0) * base
            self._ends[packet.stream.index] = begin + length
            if packet.pts is not None:
                begin = packet.pts * base + self._offset
            self._shown_until = max(self._shown_until, begin + length)
        shift = round(self._offset / base)
        if packet.pts is not None:
            packet.pts += shift
        if packet.dts is not None:
            packet.dts += shift

    def _lead(self, stream: Stream) -> Fraction:
        """How much later than the file the stream began: likely so in its next part as well."""
        start = stream.start_time
        if start is None or not stream.time_base:
            return Fraction(0)
        return min(max(start * stream.time_base - self.begin, Fraction(0)), _MOST_LEAD)


class FrameClock:
    """A time, in the stream's units, for each frame that a decoder puts out; it grows."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._base = stream.time_base or Fraction(1, 90_000)
        # AVI knows when packets are decoded, not when they are shown: libav guesses, wrongly where
        # frames change places. Frames come out in order, so the earliest time is the next one's.
        self._by_decoding = "avi" in container.format.name.split(",")
        rates = [stream.average_rate, stream.guessed_rate]
        if self._by_decoding or container.format.flags & NO_TIMESTAMPS:
            rates.reverse()  # the average is of times that are not there
        self.rate = next(filter(None, rates), None)
        """Nominal frames per second."""
        self._step = max(round(1 / ((self.rate or 30) * self._base)), 1)
        self._waiting: list[int] = []
        self._last: int | None = None

    @property
    def end(self) -> int:
        """When the newest frame ends."""
        return 0 if self._last is None else self._last + self._step

    def sent(self, packet: AnyPacket) -> None:
        """Notes a packet that goes to the decoder."""
        if self._by_decoding and packet.dts is not None:
            heapq.heappush(self._waiting, packet.dts)
            if len(self._waiting) > _MOST_WAITING:
                heapq.heappop(self._waiting)

    def lost(self, packet: AnyPacket) -> None:
        """Notes that no frame will come of a packet that was sent."""
        if packet.dts in self._waiting:
            self._waiting.remove(packet.dts)
            heapq.heapify(self._waiting)

    def time_of(self, frame: av.VideoFrame) -> int:
        """The time of the next frame."""
        stated, last = frame.pts, self._last
        if self._by_decoding:
            stated = heapq.heappop(self._waiting) if self._waiting else None
        if last is None:
            stated = stated if stated is not None else frame.dts
        elif stated is None:
            stated = last + self._step
        elif stated <= last:  # in the order of decoding, perhaps; that order's own time grows
            stated = frame.dts if frame.dts is not None and frame.dts > last else last + 1
        elif self._by_decoding:
            self._step = stated - last
        self._last = stated or 0
        return self._last

    def duration_of(self, frame: av.VideoFrame) -> int:
        """How long the newest frame is shown."""
        return self._step if self._by_decoding or not frame.duration else frame.duration
