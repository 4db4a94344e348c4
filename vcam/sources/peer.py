"""A browser's camera that arrives as a WebRTC track."""

import time

import av
import cv2
import numpy as np

from pipeline.types import Picture
from vcam.frame import TIME_BASE, Frame
from vcam.mailbox import Mailbox

WAIT_S = 1.0
"""After that long without a frame the last one, or the placeholder, is given again: a virtual
camera that gets nothing at all disappears from other programs."""


class PeerSource:
    """Gives the frames of whichever peer is attached, and a placeholder while there is none.

    The web server feeds it from the event loop; `read` converts the pixels on the source thread.
    """

    label = "a browser's camera"

    def __init__(self, invitation: str = "") -> None:
        """
        Args:
            invitation: shown below "waiting for a browser's camera", ASCII. It may reach a video
                call, so it must hold no secret.
        """
        self.invitation = invitation
        self._mailbox: Mailbox[tuple[av.VideoFrame, float]] = Mailbox()
        self._attached = False
        self._last: Picture | None = None
        self._pts = -1
        self._offset: int | None = None
        """From the track's timestamps to ours; None at the start of a track."""

    @property
    def dropped(self) -> int:
        """Frames of the peer that came before the last one was taken."""
        return self._mailbox.dropped

    def attach(self) -> None:
        """A peer's track begins."""
        self._offset = None
        self._attached = True

    def detach(self) -> None:
        """The peer has gone."""
        self._attached = False

    def feed(self, frame: av.VideoFrame) -> None:
        """One frame of the peer's track, from the event loop; the newest wins."""
        self._mailbox.put((frame, time.perf_counter()))

    def open(self) -> None:
        """Ready for frames; there is nothing that can fail."""
        if self._mailbox.closed:
            self._mailbox = Mailbox()

    def read(self) -> Frame | None:
        """The newest frame; after a second without one the last picture or the placeholder."""
        mailbox = self._mailbox
        item = mailbox.take(WAIT_S)
        if item is None:
            return None if mailbox.closed else self._filler()
        frame, captured = item
        self._last = frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
        return Frame(self._last, captured, self._media_time(frame))

    def close(self) -> None:
        """Wakes `read`."""
        self._mailbox.close()

    def _filler(self) -> Frame:
        if not self._attached or self._last is None:
            size = (640, 360) if self._last is None else self._last.shape[1::-1]
            picture = _placeholder(size[0], size[1], self.invitation)
        else:
            picture = self._last
        self._pts += int(WAIT_S / TIME_BASE)
        return Frame(picture, time.perf_counter(), self._pts)

    def _media_time(self, frame: av.VideoFrame) -> int:
        """The frame's own timestamp, moved so that ours never go back between peers."""
        base = frame.time_base
        # PyAV 19's rationals are never None but may be 0, hence the test for truth.
        ticks = int((frame.pts or 0) * base.numerator / base.denominator / TIME_BASE) if base else 0
        if self._offset is None or ticks + self._offset <= self._pts:
            self._offset = self._pts + 1 - ticks
        self._pts = ticks + self._offset
        return self._pts


def _placeholder(width: int, height: int, invitation: str) -> Picture:
    """`(height, width, 3)` BGR: a dark picture that says what is being waited for."""
    picture = np.full((height, width, 3), (44, 36, 30), np.uint8)
    lines = (("Waiting for a browser's camera", 1.0, 0.46), (invitation, 0.7, 0.58))
    for text, share, y in lines:
        if not text:
            continue
        font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, height // 300)
        (unit, _), _ = cv2.getTextSize(text, font, 1.0, thickness)
        scale = min(height / 420 * share, 0.9 * width / unit)
        (wide, _), _ = cv2.getTextSize(text, font, scale, thickness)
        origin = ((width - wide) // 2, int(height * y))
        cv2.putText(picture, text, origin, font, scale, (225, 220, 215), thickness, cv2.LINE_AA)
    return picture
