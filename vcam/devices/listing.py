"""The cameras and virtual cameras of this machine.

On Linux the kernel's own list is read, which opens no stream and lights no LED. Elsewhere OpenCV
knows no names, so the first few indexes are tried.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vcam_relight.vcam.devices.v4l2 import (
    CAPTURE,
    LOOPBACK_DRIVER,
    OUTPUT,
    Capability,
    query_capability,
)

SYSFS = Path("/sys/class/video4linux")
PROBED_INDEXES = 4
"""How many camera indexes are tried where the system gives no list."""


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """A webcam."""

    index: int
    """What `--source camera:N` takes."""
    name: str
    path: str
    """The device file; empty where the system has none."""


@dataclass(frozen=True, slots=True)
class VirtualCameraDevice:
    """A device that other programs see as a camera and this one writes to."""

    name: str
    path: str
    """What `--sink device:NAME` takes, as it does the name."""
    writable: bool
    """Whether it says now that it takes frames."""


def v4l2_devices(
    sysfs: Path = SYSFS, query: Callable[[Path], Capability | None] = query_capability
) -> tuple[list[CameraDevice], list[VirtualCameraDevice]]:
    """Cameras (nodes that can capture, virtual ones left out) and v4l2loopback devices."""
    cameras: list[CameraDevice] = []
    virtual: list[VirtualCameraDevice] = []
    found = [(re.fullmatch(r"video(\d+)", path.name), path) for path in sysfs.glob("video*")]
    for index, entry in sorted((int(match[1]), path) for match, path in found if match):
        node = Path("/dev") / entry.name
        capability = query(node)
        if capability is None:
            continue
        name = _read_line(entry / "name") or capability.card
        if capability.driver == LOOPBACK_DRIVER:
            virtual.append(VirtualCameraDevice(name, str(node), bool(capability.flags & OUTPUT)))
        elif capability.flags & CAPTURE:
            cameras.append(CameraDevice(index, name, str(node)))
    return cameras, virtual


def list_cameras() -> list[CameraDevice]:
    """The cameras of this machine. Off Linux each index that might be one, untested."""
    if sys.platform == "linux":
        return v4l2_devices()[0]
    return [CameraDevice(index, f"camera {index}", "") for index in range(PROBED_INDEXES)]


def cameras_to_show() -> list[CameraDevice]:
    """The cameras that people are shown.

    On Linux the kernel's list, untested (another program may have one of them); elsewhere those
    that open.
    """
    if sys.platform == "linux":
        return list_cameras()
    from vcam_relight.vcam.devices.probe import camera_opens

    return [camera for camera in list_cameras() if camera_opens(camera.index)]


def list_virtual_cameras() -> list[VirtualCameraDevice]:
    """The virtual cameras; off Linux those that pyvirtualcam can open now."""
    if sys.platform == "linux":
        return v4l2_devices()[1]
    from vcam_relight.vcam.devices.probe import virtual_camera_that_opens

    name = virtual_camera_that_opens()
    return [] if name is None else [VirtualCameraDevice(name, name, writable=True)]


def _read_line(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
