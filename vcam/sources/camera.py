"""A webcam through OpenCV."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.errors import SourceError, SourceLost
from vcam_relight.vcam.core.frame import TIME_BASE, Frame
from vcam_relight.vcam.devices.listing import list_cameras

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 8.0
"""Slow webcams take 3 s; a busy one may make OpenCV wait for ever (opencv#15074)."""
READ_TIMEOUT_S = 2.0
"""No picture for that long is a loss. OpenCV's own reads are bounded: V4L2 by the variable below,
DirectShow and AVFoundation by one second."""
NODE_CHECK_S = 1.0
"""How often the device file is looked at: `read` may go on succeeding after an unplug
(opencv#5746)."""

# Whole seconds that V4L2's select() waits for a frame, 10 by default. Read by OpenCV at its first
# capture; CAP_PROP_READ_TIMEOUT_MSEC does not reach this backend.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(int(READ_TIMEOUT_S)))


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool: ...

    def set(self, prop: int, value: float) -> bool: ...

    def get(self, prop: int) -> float: ...

    def read(self) -> tuple[bool, Any]: ...

    def release(self) -> None: ...


def open_capture(index: int) -> Capture:
    """OpenCV's capture for this platform's own camera interface.

    DirectShow rather than Media Foundation on Windows, where the latter takes up to minutes to
    open a camera.
    """
    apis = {"linux": cv2.CAP_V4L2, "win32": cv2.CAP_DSHOW, "darwin": cv2.CAP_AVFOUNDATION}
    capture: Capture = cv2.VideoCapture(index, apis.get(sys.platform, cv2.CAP_ANY))
    return capture


def device_node(index: int) -> Path | None:
    """The camera's device file; None where the platform has none."""
    return Path(f"/dev/video{index}") if sys.platform == "linux" else None


class CameraSource:
    """Frames of a webcam as they come, in whatever size is nearest to the one asked for."""

    def __init__(
        self,
        index: int,
        size: tuple[int, int],
        fps: float,
        name: str = "",
        opener: Callable[[int], Capture] = open_capture,
        node: Callable[[int], Path | None] = device_node,
    ) -> None:
        """Args:
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
        self._opening: _Opening | None = None

    def open(self) -> None:
        """Opens the camera and waits for its first frame; does nothing when it is open.

        Raises:
            SourceError: there is no such camera, or it is busy or not answering.
        """
        with self._lock:
            if self._capture is not None:
                return
            self._closing = False
            if self._opening is not None and self._opening.running:
                raise self._busy()  # the last try hangs still: no second thread beside it
            self._follow()
            self._opening = _Opening(self._open_and_configure, self.label)
        capture = self._opening.wait(OPEN_TIMEOUT_S)
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
        """Lets go of the camera; while `read` is at it, `read` does so as soon as it returns."""
        self._closing = True
        if self._opening is not None:
            self._opening.give_up()
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

    def _open_and_configure(self, given_up: threading.Event) -> Capture | None:
        """The capture in the nearest mode, once it has given a first frame."""
        capture = self._opener(self._index)
        try:
            if capture.isOpened() and self._configure(capture, given_up):
                return capture
        except Exception:
            capture.release()
            raise
        capture.release()
        return None

    def _configure(self, capture: Capture, given_up: threading.Event) -> bool:
        # Format first: the driver then picks among the sizes that it has in MJPG, where 720p at
        # 30 fps fits through USB 2; uncompressed it would be 5 to 10 fps.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        capture.set(cv2.CAP_PROP_FPS, self._fps)
        while not given_up.is_set():
            ok, pixels = capture.read()
            if ok and pixels is not None:
                height, width = pixels.shape[:2]
                fps = capture.get(cv2.CAP_PROP_FPS)
                log.debug("%s opened at %dx%d, %g fps", self.label, width, height, fps)
                return True
            given_up.wait(0.05)
        return False

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


class _Opening:
    """One try at opening a camera on a thread of its own, which may hang for ever."""

    def __init__(self, make: Callable[[threading.Event], Capture | None], label: str) -> None:
        self._make = make
        self._given_up = threading.Event()
        self._done = threading.Condition()
        self._finished = False
        self._over = False
        self._capture: Capture | None = None
        threading.Thread(target=self._run, name=f"open {label}", daemon=True).start()

    @property
    def running(self) -> bool:
        """Whether the try still holds the camera, or hangs."""
        return not self._over

    def wait(self, timeout: float) -> Capture | None:
        """The capture; None when it failed, `timeout` seconds have passed or it was given up."""
        with self._done:
            self._done.wait_for(lambda: self._finished or self._given_up.is_set(), timeout)
            self._given_up.set()  # what comes later is released by the thread
            capture, self._capture = self._capture, None
            return capture

    def give_up(self) -> None:
        """Nobody wants the camera any more."""
        with self._done:
            self._given_up.set()
            self._done.notify_all()

    def _run(self) -> None:
        capture = None
        try:
            capture = self._make(self._given_up)
        except Exception:  # cv2.error and drivers' surprises
            log.debug("opening failed", exc_info=True)
        with self._done:
            self._finished = True
            if not self._given_up.is_set():
                self._capture, capture = capture, None
                self._over = True
            self._done.notify_all()
        if capture is not None:
            capture.release()
        self._over = True


def to_bgr(pixels: np.ndarray[Any, Any]) -> BgrImage:
    """A driver's picture as `(H, W, 3)` uint8 BGR: grey, grey of 16 bits, YUYV and BGRA are
    converted.
    """
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    codes = {1: cv2.COLOR_GRAY2BGR, 2: cv2.COLOR_YUV2BGR_YUYV, 4: cv2.COLOR_BGRA2BGR}
    if channels in codes:
        pixels = cv2.cvtColor(pixels, codes[channels])
    image: BgrImage = pixels
    return image
