"""Between WebRTC tracks and the frame loop: newest frame in, newest frame out, no queue."""

import asyncio
import time
from collections.abc import Callable

import av
import cv2
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.frame import TIME_BASE
from vcam_relight.vcam.sinks import ProcessedFrame, Sink
from vcam_relight.web.webrtc import color_space


async def drain(track: MediaStreamTrack, take: Callable[[av.VideoFrame], None]) -> None:
    """Reads `track` to its end and hands each video frame to `take` at once.

    aiortc queues what is not read without bound, so that a slow reader is ever later and an
    unread track grows in memory (aiortc#1192, #554).
    """
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        if isinstance(frame, av.VideoFrame):
            color_space.tag(frame, track)
            take(frame)


def i420(image: BgrImage) -> av.VideoFrame:
    """`image` as what video encoders take: I420 (BT.601, limited range), whose sides are even."""
    height, width = (side & ~1 for side in image.shape[:2])
    planes = cv2.cvtColor(image[:height, :width], cv2.COLOR_BGR2YUV_I420)
    return av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")


class RelitTrack(MediaStreamTrack):
    """The video that goes back to the browser: `recv` waits for the newest frame."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._newest: av.VideoFrame | None = None
        self._changed = asyncio.Event()
        self._last_pts = -1

    def put(self, frame: av.VideoFrame) -> None:
        """Replaces the frame that waits; on the event loop.

        Frames from the past are left out: the encoder raises at a timestamp that goes back, and
        that would end the stream.
        """
        if frame.pts is not None and frame.pts > self._last_pts:
            self._newest = frame
            self._changed.set()

    async def recv(self) -> av.VideoFrame:
        """The next frame, in I420 with its pts and time base.

        Raises:
            MediaStreamError: the track was stopped.
        """
        while self.readyState == "live":
            await self._changed.wait()
            self._changed.clear()
            frame, self._newest = self._newest, None
            if frame is not None and frame.pts is not None and self.readyState == "live":
                self._last_pts = frame.pts
                return frame
        raise MediaStreamError

    def stop(self) -> None:
        """Ends the track and wakes `recv`."""
        super().stop()
        self._changed.set()


class TrackSink(Sink):
    """Feeds one track. The pixels are converted on the sink's thread."""

    kind = "peer"
    is_page = True
    label = "peer"

    def __init__(self) -> None:
        self._target: tuple[RelitTrack, asyncio.AbstractEventLoop, float] | None = None

    def attach(self, track: RelitTrack) -> None:
        """Frames captured from now on go to `track`; on the event loop."""
        self._target = (track, asyncio.get_running_loop(), time.perf_counter())

    def detach(self) -> None:
        """The peer has gone."""
        self._target = None

    @property
    def has_consumers(self) -> bool:
        """Whether a peer is there."""
        return self._target is not None

    def open(self) -> None:
        """Nothing to open."""

    def write(self, frame: ProcessedFrame) -> None:
        """Converts the relit frame to I420 (BT.601, limited range) and hands it to the track."""
        target = self._target
        if target is None:
            return
        track, loop, attached = target
        if frame.original.captured < attached:
            return  # it was on its way when another peer left: not for these eyes
        encoded = i420(frame.output.image)
        encoded.pts = frame.output.pts
        encoded.time_base = TIME_BASE
        if not loop.is_closed():
            loop.call_soon_threadsafe(track.put, encoded)

    def close(self) -> None:
        """Nothing to close."""
