"""What a virtual camera sink writes to: one open device of the platform."""

from typing import Protocol

from vcam_relight.vcam.devices.pixel_formats import Pixels


class VirtualCameraOutput(Protocol):
    """An open virtual camera."""

    name: str
    """What other programs list."""
    size: tuple[int, int]
    """Width and height that it takes, in pixels; a device in use may insist on its own."""
    format: str
    """What it takes without converting: a key of `vcam.devices.pixel_formats.CONVERTERS`."""

    @property
    def has_consumers(self) -> bool:
        """Whether another program reads it; True where that cannot be known."""

    def send(self, pixels: Pixels) -> None:
        """Shows one image.

        Raises:
            SinkError: the device does not take it.
        """

    def close(self) -> None:
        """Releases the device."""
