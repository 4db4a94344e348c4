"""A webcam through OpenCV."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.errors import SourceError, SourceLost
from vcam_relight.vcam.core.frame import TIME_BASE, Frame
from vcam_relight.vcam.devices.capture import (
    OPEN_TIMEOUT_S,
    READ_TIMEOUT_S,
    Capture,
    CaptureAttempt,
    open_capture,
    open_configured,
)
from vcam_relight.vcam.devices.listing import list_cameras
from vcam_relight.vcam.sources.source import Source

NODE_CHECK_S = 1.0
"""How often the device file is looked at: `read` may go on succeeding after an unplug
(opencv#5746)."""


def device_node(index: int) -> Path | None:
    """The camera's device file; None where the platform has none."""
    return Path(f"/dev/video{index}") if sys.platform == "linux" else None


class CameraSource(Source):
    """Frames of a webcam as they come, in whatever size is nearest to the one asked for."""

    kind = "camera"
    can_rest = True

    def __init__(
        self,
        index: int,
        size: tuple[int, int],
        fps: float,
        name: str = "",
        opener: Callable[[int], Capture] = open_capture,
        node: Callable[[int], Path | None] = device_node,
    ) -> None:
        """Opens nothing yet.

        Args:
            index: the camera's number.
            size: width and height asked for, in pixels; the driver picks the nearest mode.
            fps: frames per second asked for.
            name: for people, and to find the camera again when it comes back under another number,
                as one does that was pulled out while it was in use; empty: only the number counts.
            opener: makes the capture; runs on a helper thread.
            node: index -> device file that is there as long as the camera is.
        """
        self._name = name
        self._size = size
        self._fps = fps
        self._opener = opener
        self._node_of = node
        self._use(index)
        self._identity: tuple[int, int] | None = None
        self._next_check = 0.0
        self._epoch = time.perf_counter()
        self._lock = threading.Lock()  # guards the capture: OpenCV's is not thread-safe
        self._capture: Capture | None = None
        self._closing = False
        self._attempt: CaptureAttempt | None = None

    @property
    def index(self) -> int:
        """The camera's number; another one when it came back under another."""
        return self._index

    def open(self) -> None:
        """Opens the camera and waits for its first frame; does nothing when it is open.

        Raises:
            SourceError: there is no such camera, or it is busy or not answering.
        """
        with self._lock:
            if self._capture is not None:
                return
            self._closing = False
            if self._attempt is not None and self._attempt.running:
                raise self._busy()  # the last try hangs still: no second thread beside it
            self._follow()
            self._attempt = CaptureAttempt(self._open_capture, self._index)
            self._attempt.start()
        capture = self._attempt.wait(OPEN_TIMEOUT_S)
        if self._closing:  # the loop was stopped meanwhile
            if capture is not None:
                capture.release()
            return
        if capture is None:
            if self._node is not None and not self._node.exists():
                raise SourceError(
                    f"there is no {self.label} ({self._node} is missing)",
                    "plug it in; `vcam devices` lists the cameras",
                )
            raise self._busy()
        self._identity = self._node_identity()
        self._next_check = time.perf_counter() + NODE_CHECK_S
        with self._lock:
            self._capture = capture

    def read(self) -> Frame | None:
        """The next frame; None once `close` was called.

        Raises:
            SourceLost: it was unplugged, or gives no frames.
        """
        deadline = time.perf_counter() + READ_TIMEOUT_S
        while not self._closing:
            with self._lock:
                if self._capture is None:
                    return None
                ok, pixels = self._capture.read()
            captured = time.perf_counter()
            self._check_node(captured)
            if ok and pixels is not None and pixels.size:
                pts = int((captured - self._epoch) / TIME_BASE)
                return Frame(to_bgr(pixels), captured, pts)
            if captured >= deadline:
                raise SourceLost(
                    f"{self.label} gives no pictures",
                    "close other programs that use it, or plug it in again",
                )
            time.sleep(0.01)  # one bad JPEG fails at once; the next frame may be whole
        self.close()
        return None

    def close(self) -> None:
        """Releases the camera; while `read` is at it, `read` does so as soon as it returns."""
        self._closing = True
        if self._attempt is not None:
            self._attempt.give_up()
        if not self._lock.acquire(timeout=0.0 if self._capture is None else 2 * READ_TIMEOUT_S):
            return
        try:
            capture, self._capture = self._capture, None
            if capture is not None:
                capture.release()
        finally:
            self._lock.release()

    def _use(self, index: int) -> None:
        self._index = index
        self._node = self._node_of(index)
        self.label = f"camera {index} ({self._name})" if self._name else f"camera {index}"

    def _follow(self) -> None:
        numbers = [camera.index for camera in list_cameras() if camera.name == self._name]
        if numbers and self._index not in numbers:
            self._use(numbers[0])

    def _open_capture(self, given_up: threading.Event) -> Capture | None:
        return open_configured(self._index, self._size, self._fps, given_up, self._opener)

    def _busy(self) -> SourceError:
        return SourceError(
            f"{self.label} is busy or not answering", "close the program that uses it"
        )

    def _node_identity(self) -> tuple[int, int] | None:
        """Tells a device file from one made after the camera was plugged in again."""
        try:
            status = self._node.stat() if self._node is not None else None
        except OSError:
            return None
        return (status.st_dev, status.st_ino) if status else None

    def _check_node(self, now: float) -> None:
        if self._node is None or now < self._next_check:
            return
        self._next_check = now + NODE_CHECK_S
        if self._node_identity() != self._identity:
            raise SourceLost(f"{self.label} was unplugged", "plug it in again")


def to_bgr(pixels: np.ndarray[Any, Any]) -> BgrImage:
    """A driver's image as `(H, W, 3)` uint8 BGR, sRGB.

    Grey, grey of 16 bits, YUYV and BGRA are converted.
    """
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    codes = {1: cv2.COLOR_GRAY2BGR, 2: cv2.COLOR_YUV2BGR_YUYV, 4: cv2.COLOR_BGRA2BGR}
    if channels in codes:
        pixels = cv2.cvtColor(pixels, codes[channels])
    image: BgrImage = pixels
    return image
