"""A browser's camera that arrives as a WebRTC track."""

import time

import av

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.frame import TIME_BASE, Frame
from vcam_relight.vcam.core.mailbox import Mailbox
from vcam_relight.vcam.media.frames import FrameConverter
from vcam_relight.vcam.media.placeholder import placeholder
from vcam_relight.vcam.sources.source import Source

WAIT_S = 1.0
"""After that long without a frame the last one, or the placeholder, is given again: a virtual
camera that gets nothing at all disappears from other programs."""


class PeerSource(Source):
    """Gives the frames of whichever peer is attached, and a placeholder while there is none.

    The web server feeds it from the event loop; `read` converts the pixels on the source thread.
    """

    kind = "peer"
    is_page = True
    label = "a browser's camera"

    def __init__(self) -> None:
        self._mailbox: Mailbox[tuple[object, av.VideoFrame, float]] = Mailbox()
        self._peer: object | None = None
        """Whoever is attached; frames are marked with it, so that nobody sees another's."""
        self._last: tuple[object, BgrImage] | None = None
        self._converter = FrameConverter()
        self._size = (640, 360)
        self._pts = -1
        self._offset = 0
        """From the track's timestamps to ours."""

    @property
    def dropped(self) -> int:
        """Frames of the peer that came before the last one was taken."""
        return self._mailbox.dropped

    def attach(self) -> None:
        """A peer's track begins."""
        self._peer = object()

    def detach(self) -> None:
        """The peer has gone."""
        self._peer = None

    def feed(self, frame: av.VideoFrame) -> None:
        """One frame of the peer's track, from the event loop; the newest wins."""
        if self._peer is not None:
            self._mailbox.put((self._peer, frame, time.perf_counter()))

    def open(self) -> None:
        """Ready for frames; there is nothing that can fail."""
        if self._mailbox.closed:
            self._mailbox = Mailbox()

    def read(self) -> Frame | None:
        """The newest frame; after a second without one the last image or the placeholder."""
        mailbox = self._mailbox
        item = mailbox.take(WAIT_S)
        if item is None:
            return None if mailbox.closed else self._filler()
        peer, frame, captured = item
        image = self._converter.to_image(frame)
        if peer is not self._peer:  # it has gone meanwhile
            return self._filler()
        pts = self._media_time(frame, starts=self._last is None or self._last[0] is not peer)
        self._last = (peer, image)
        self._size = (frame.width, frame.height)
        return Frame(image, captured, pts)

    def close(self) -> None:
        """Wakes `read`."""
        self._mailbox.close()

    def _filler(self) -> Frame:
        peer = self._peer
        if self._last is not None and self._last[0] is peer:
            image = self._last[1]
        else:
            image = _placeholder(self._size, invite=peer is None)
        self._pts += int(WAIT_S / TIME_BASE)
        return Frame(image, time.perf_counter(), self._pts)

    def _media_time(self, frame: av.VideoFrame, starts: bool) -> int:
        """The frame's own timestamp, moved so that ours never go back between peers."""
        base = frame.time_base
        # PyAV 19's rationals are never None but may be 0, hence the test for truth.
        ticks = int((frame.pts or 0) * base.numerator / base.denominator / TIME_BASE) if base else 0
        if starts or ticks + self._offset <= self._pts:
            self._offset = self._pts + 1 - ticks
        self._pts = ticks + self._offset
        return self._pts


def _placeholder(size: tuple[int, int], invite: bool) -> BgrImage:
    lines = [("Waiting for a browser's camera", 1.0, 0.46)]
    if invite:
        lines.append(("Open the link that vcam printed", 0.7, 0.58))
    return placeholder(size, lines)
