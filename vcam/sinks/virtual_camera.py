"""The virtual camera that Zoom, Meet and others pick, through pyvirtualcam.

pyvirtualcam (GPL-2.0) is imported here only, and only when a virtual camera is asked for.
"""

import re
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from pipeline.types import Picture
from vcam.errors import SinkError
from vcam.letterbox import Letterbox, even
from vcam.sinks.sink import Delivery

LOAD_MODULE = "sudo modprobe v4l2loopback devices=1 exclusive_caps=1 card_label='vcam'"
"""Loads v4l2loopback so that browsers list the camera: they skip it without exclusive_caps=1."""

_NATIVE = {
    "v4l2loopback": "I420",
    "obs": "UYVY" if sys.platform == "darwin" else "NV12",
    "unitycapture": "RGBA",
}
"""Backend -> the format that it takes without converting; others are asked once they are open."""

Converter = Callable[[Picture], np.ndarray[Any, np.dtype[np.uint8]]]


def how_to_get_one(problem: str = "") -> str:
    """The mend for this platform, given pyvirtualcam's own words."""
    if sys.platform == "linux":
        if "permission" in problem:
            return "add yourself to the group: sudo usermod -aG video $USER, then log in again"
        if "not a video output device" in problem:
            # with exclusive_caps=1, v4l2loopback before 0.13 takes one writer per module load
            return f"load it anew: sudo modprobe -r v4l2loopback && {LOAD_MODULE}"
        return f"install v4l2loopback (Debian: v4l2loopback-dkms), then: {LOAD_MODULE}"
    return "install OBS Studio (obsproject.com), start its virtual camera once, and close OBS"


class VirtualCameraSink:
    """Writes each frame in the virtual camera's native format, from one reused buffer.

    Y'CbCr formats are BT.601 limited range, OpenCV's and the webcams' own, which is what readers
    assume of a camera that does not say. The size is even; frames of another size are
    letterboxed, never stretched.
    """

    def __init__(
        self,
        size: tuple[int, int],
        fps: float,
        device: str | None = None,
        backend: str | None = None,
    ) -> None:
        """
        Args:
            size: width and height in pixels; rounded down to even.
            fps: what readers are told to expect.
            device: `/dev/videoN` or the camera's name; None: the first that opens.
            backend: pyvirtualcam's name of one; None: the first that opens.
        """
        self.label = f"virtual camera {device}" if device else "virtual camera"
        self.size = even(size)
        self._fps = fps
        self._device = device
        self._backend = backend
        self._letterbox = Letterbox(self.size)
        self._camera: Any = None
        self._convert: Converter | None = None

    @property
    def wanted(self) -> bool:
        """Whether it is open."""
        return self._camera is not None

    @property
    def device(self) -> str:
        """The device in use, as other programs name it; empty while closed."""
        return str(self._camera.device) if self._camera is not None else ""

    def open(self) -> None:
        """Opens the device; does nothing when it is open.

        Raises:
            SinkError: pyvirtualcam or the device is missing, or the device refuses.
        """
        if self._camera is not None:
            return
        try:
            import pyvirtualcam
            from pyvirtualcam.camera import BACKENDS
        except ImportError as error:
            raise SinkError(
                f"there is no virtual camera: pyvirtualcam does not load ({error})",
                "pip install pyvirtualcam",
            ) from error
        problems = []
        for backend in [self._backend] if self._backend else list(BACKENDS):
            try:
                self._camera, self._convert = self._open(pyvirtualcam, backend)
                return
            except Exception as error:  # backends raise what they like
                problems.append(str(error))
        problem = "; ".join(problems) or "no backend for this system"
        reason = re.sub(r"'\w+' backend: | Did you .*|\.$", "", problem)  # the mend is ours
        if not self._device:
            raise SinkError(
                f"no virtual camera could be opened ({reason})", how_to_get_one(problem)
            )
        raise SinkError(
            f"the virtual camera {self._device} could not be opened ({reason})",
            f"see `vcam devices`, or {how_to_get_one(problem)}",
        )

    def _open(self, pyvirtualcam: Any, backend: str) -> tuple[Any, Converter]:
        name = _NATIVE.get(backend, "I420")
        while True:
            camera = pyvirtualcam.Camera(
                *self.size,
                self._fps,
                fmt=pyvirtualcam.PixelFormat[name],
                device=self._device,
                backend=backend,
            )
            native = str(camera.native_fmt) if camera.native_fmt else name
            if native == name or native not in _CONVERTERS:
                return camera, _CONVERTERS[name](self.size)
            camera.close()
            name = native

    def write(self, delivery: Delivery) -> None:
        """Sends one frame.

        Raises:
            SinkError: the device failed.
        """
        if self._camera is None or self._convert is None:
            raise SinkError("the virtual camera is closed")
        pixels = self._convert(self._letterbox.fit(delivery.output.picture))
        try:
            self._camera.send(pixels)
        except Exception as error:  # backends raise what they like
            raise SinkError(
                f"the virtual camera stopped taking pictures ({error})", how_to_get_one(str(error))
            ) from error

    def close(self) -> None:
        """Lets go of the device."""
        camera, self._camera, self._convert = self._camera, None, None
        if camera is not None:
            camera.close()


def _i420(size: tuple[int, int]) -> Converter:
    width, height = size
    buffer = np.empty((height * 3 // 2, width), np.uint8)

    def convert(picture: Picture) -> np.ndarray[Any, np.dtype[np.uint8]]:
        cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420, dst=buffer)
        return buffer

    return convert


def _nv12(size: tuple[int, int]) -> Converter:
    planar = _i420(size)
    chroma = size[0] * size[1] // 4
    scratch = np.empty((2, chroma), np.uint8)

    def convert(picture: Picture) -> np.ndarray[Any, np.dtype[np.uint8]]:
        buffer = planar(picture)  # Y stays where it is, U and V are interleaved behind it
        behind = buffer.reshape(-1)[4 * chroma :]
        scratch[:] = behind.reshape(2, chroma)
        behind.reshape(chroma, 2)[:] = scratch.T
        return buffer

    return convert


def _packed(code: int, channels: int) -> Callable[[tuple[int, int]], Converter]:
    def make(size: tuple[int, int]) -> Converter:
        buffer = np.empty((size[1], size[0], channels), np.uint8)

        def convert(picture: Picture) -> np.ndarray[Any, np.dtype[np.uint8]]:
            cv2.cvtColor(picture, code, dst=buffer)
            return buffer

        return convert

    return make


_CONVERTERS: dict[str, Callable[[tuple[int, int]], Converter]] = {
    "I420": _i420,
    "NV12": _nv12,
    "UYVY": _packed(cv2.COLOR_BGR2YUV_UYVY, 2),
    "YUYV": _packed(cv2.COLOR_BGR2YUV_YUYV, 2),
    "RGBA": _packed(cv2.COLOR_BGR2RGBA, 4),
}
"""pyvirtualcam's format name -> size -> what makes it from BGR in one pass."""
