"""The virtual cameras of Windows and macOS, through pyvirtualcam.

pyvirtualcam (GPL-2.0) is imported here only, and only when a virtual camera is opened.
"""

import re
import sys
from typing import Any

from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.devices.pixel_formats import CONVERTERS, Pixels
from vcam_relight.vcam.devices.setup_hints import how_to_get_one
from vcam_relight.vcam.media.letterbox import even

_NATIVE = {
    "v4l2loopback": "I420",
    "obs": "UYVY" if sys.platform == "darwin" else "NV12",
    "unitycapture": "RGBA",
}
"""Backend -> the format that it takes without converting; others are asked once they are open."""


class ObsOutput:
    """An open camera of OBS, UnityCapture, or another backend registered with pyvirtualcam."""

    has_consumers = True
    """These do not tell who reads."""

    def __init__(
        self, size: tuple[int, int], fps: float, device: str | None, backend: str | None
    ) -> None:
        """Opens the camera.

        Args:
            size: width and height in pixels.
            fps: what readers are told.
            device: the camera's name; None: the first that opens.
            backend: pyvirtualcam's name of one; None: the first that opens.

        Raises:
            SinkError: pyvirtualcam or the device is missing, or the device refuses.
        """
        try:
            import pyvirtualcam
            from pyvirtualcam.camera import BACKENDS
        except ImportError as error:
            raise SinkError(
                f"there is no virtual camera: pyvirtualcam does not load ({error})",
                "pip install pyvirtualcam",
            ) from error
        self.size = even(size)
        problems = []
        for name in [backend] if backend else list(BACKENDS):
            try:
                self._camera, self.format = self._open(pyvirtualcam, name, fps, device)
            except Exception as error:  # backends raise what they like
                problems.append(str(error))
            else:
                self.name = str(self._camera.device)
                return
        problem = "; ".join(problems) or "no backend for this system"
        reason = re.sub(r"'\w+' backend: | Did you .*|\.$", "", problem)  # the hint is ours
        if not device:
            raise SinkError(f"no virtual camera could be opened ({reason})", how_to_get_one())
        raise SinkError(
            f"the virtual camera {device} could not be opened ({reason})",
            f"see `vcam devices`, or {how_to_get_one()}",
        )

    def _open(
        self, pyvirtualcam: Any, backend: str, fps: float, device: str | None
    ) -> tuple[Any, str]:
        name = _NATIVE.get(backend, "I420")
        while True:
            camera = pyvirtualcam.Camera(
                *self.size,
                fps,
                fmt=pyvirtualcam.PixelFormat[name],
                device=device,
                backend=backend,
            )
            native = str(camera.native_fmt) if camera.native_fmt else name
            if native == name or native not in CONVERTERS:
                return camera, name
            camera.close()
            name = native

    def send(self, pixels: Pixels) -> None:
        """Shows one image.

        Raises:
            SinkError: the device failed.
        """
        try:
            self._camera.send(pixels)
        except Exception as error:  # backends raise what they like
            raise SinkError(
                f"the virtual camera stopped taking pictures ({error})", how_to_get_one()
            ) from error

    def close(self) -> None:
        """Releases the device."""
        self._camera.close()
