"""A virtual camera by PipeWire, where there is no kernel module for one."""

from vcam_relight.vcam.devices.output import VirtualCameraOutput
from vcam_relight.vcam.devices.setup_hints import LABEL
from vcam_relight.vcam.sinks.virtual_camera import VirtualCameraSink


class PipeWireSink(VirtualCameraSink):
    """Browsers with PipeWire's camera switched on, OBS and GStreamer read it.

    It stays listed while nothing is sent; the placeholder is for who reads while no frames come.
    """

    def __init__(
        self, size: tuple[int, int], fps: float, name: str | None, always_on: bool = False
    ) -> None:
        """Opens nothing yet.

        Args:
            size: width and height in pixels; rounded down to even.
            fps: what readers are told to expect.
            name: what they list; None: `vcam`.
            always_on: whether it takes frames also while nobody reads them.
        """
        super().__init__(size, fps, name or LABEL, always_on=always_on)
        self._name = name or LABEL
        self.label = f"PipeWire camera {self._name}"

    def _open(self) -> VirtualCameraOutput:
        from vcam_relight.vcam.devices.pipewire import PipeWireOutput

        return PipeWireOutput(self._size, self._fps, self._name)
