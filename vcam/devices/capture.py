"""Opens webcams through OpenCV, which may take seconds or hang for ever."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

import cv2

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 8.0
"""Slow webcams take 3 s; a busy one may make OpenCV wait for ever (opencv#15074)."""
READ_TIMEOUT_S = 2.0
"""No frame for that long is a loss. OpenCV's own reads are bounded: V4L2 by the variable below,
DirectShow and AVFoundation by one second."""

# Whole seconds that V4L2's select() waits for a frame, 10 by default. Read by OpenCV at its first
# capture; CAP_PROP_READ_TIMEOUT_MSEC does not reach this backend.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(int(READ_TIMEOUT_S)))


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool:
        """Whether the camera was opened."""

    def set(self, prop: int, value: float) -> bool:
        """Asks for a property (`cv2.CAP_PROP_*`); False when the driver has none."""

    def get(self, prop: int) -> float:
        """A property's value; 0 when the driver has none."""

    def read(self) -> tuple[bool, Any]:
        """Waits for a frame: whether one came, and its pixels."""

    def release(self) -> None:
        """Releases the camera."""


def open_capture(index: int) -> Capture:
    """OpenCV's capture for this platform's own camera interface.

    DirectShow rather than Media Foundation on Windows, where the latter takes up to minutes to
    open a camera.
    """
    apis = {"linux": cv2.CAP_V4L2, "win32": cv2.CAP_DSHOW, "darwin": cv2.CAP_AVFOUNDATION}
    capture: Capture = cv2.VideoCapture(index, apis.get(sys.platform, cv2.CAP_ANY))
    return capture


def open_configured(
    index: int,
    size: tuple[int, int],
    fps: float,
    given_up: threading.Event,
    opener: Callable[[int], Capture] = open_capture,
) -> Capture | None:
    """The capture in the mode nearest to the one asked for, once it has given a first frame.

    Args:
        index: the camera's number.
        size: width and height asked for, in pixels; the driver picks the nearest mode.
        fps: frames per second asked for.
        given_up: when set, nobody waits for the capture any more.
        opener: makes the capture.

    Returns:
        None when it does not open or was given up.
    """
    capture = opener(index)
    try:
        if capture.isOpened() and _configure(capture, size, fps, given_up):
            log.debug("camera %d gives %g fps", index, capture.get(cv2.CAP_PROP_FPS))
            return capture
    except Exception:
        capture.release()
        raise
    capture.release()
    return None


def _configure(
    capture: Capture, size: tuple[int, int], fps: float, given_up: threading.Event
) -> bool:
    # Format first: the driver then picks among the sizes that it has in MJPG, where 720p at
    # 30 fps fits through USB 2; uncompressed it would be 5 to 10 fps.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    capture.set(cv2.CAP_PROP_FPS, fps)
    while not given_up.is_set():
        ok, pixels = capture.read()
        if ok and pixels is not None:
            return True
        given_up.wait(0.05)
    return False


class CaptureAttempt:
    """One attempt at opening a camera on a thread of its own, which may hang for ever."""

    def __init__(self, make: Callable[[threading.Event], Capture | None], index: int) -> None:
        """Does not begin yet.

        Args:
            make: opens the camera; it is given the event that says that nobody waits any more.
            index: the camera's number, for the thread's name.
        """
        self._make = make
        self._given_up = threading.Event()
        self._done = threading.Condition()
        self._finished = False
        self._over = False
        self._capture: Capture | None = None
        self._thread = threading.Thread(target=self._run, name=f"open camera {index}", daemon=True)

    def start(self) -> None:
        """Begins. By then whoever may give it up must know of it."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the attempt still holds the camera, or hangs."""
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
