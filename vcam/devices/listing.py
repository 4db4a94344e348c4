"""The cameras and virtual cameras of this machine.

On Linux the kernel's own list is read, which opens no stream and lights no LED. Elsewhere OpenCV
knows no names, so the first few indexes are tried.
"""

import ctypes
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys/class/video4linux")
PROBED_INDEXES = 4
"""How many camera indexes are tried where the system gives no list."""

_VIDIOC_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability), linux/videodev2.h
CAPTURE = 0x00000001 | 0x00001000
"""In `Capability.flags`: it gives pictures (`V4L2_CAP_VIDEO_CAPTURE` and its multi-planar kin)."""
OUTPUT = 0x00000002
"""In `Capability.flags`: it takes pictures (`V4L2_CAP_VIDEO_OUTPUT`)."""
_HAS_DEVICE_CAPS = 0x80000000
_LOOPBACK_DRIVER = "v4l2 loopback"


@dataclass(frozen=True, slots=True)
class Camera:
    """A webcam."""

    index: int
    """What `--source camera:N` takes."""
    name: str
    path: str
    """The device file; empty where the system has none."""


@dataclass(frozen=True, slots=True)
class VirtualCamera:
    """A device that other programs see as a camera and this one writes to."""

    name: str
    path: str
    """What `--sink device:NAME` takes, as it does the name."""
    writable: bool
    """Whether it says now that it takes pictures."""


@dataclass(frozen=True, slots=True)
class Capability:
    """The part of `struct v4l2_capability` that tells devices apart."""

    driver: str
    card: str
    flags: int
    """`V4L2_CAP_*` of this node."""


class _V4l2Capability(ctypes.Structure):
    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("device_caps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


def query_capability(node: Path) -> Capability | None:
    """Asks a V4L2 device what it is; None when it cannot be asked."""
    import fcntl  # Linux only

    answer = _V4l2Capability()
    try:
        with node.open("rb", buffering=0) as device:
            fcntl.ioctl(device, _VIDIOC_QUERYCAP, answer)
    except OSError:
        return None
    has_own = answer.capabilities & _HAS_DEVICE_CAPS
    return Capability(
        answer.driver.decode("utf-8", "replace"),
        answer.card.decode("utf-8", "replace"),
        answer.device_caps if has_own else answer.capabilities,
    )


def v4l2_devices(
    sysfs: Path = SYSFS, query: Callable[[Path], Capability | None] = query_capability
) -> tuple[list[Camera], list[VirtualCamera]]:
    """Cameras (nodes that can capture, virtual ones left out) and v4l2loopback devices."""
    cameras: list[Camera] = []
    virtual: list[VirtualCamera] = []
    found = [(re.fullmatch(r"video(\d+)", path.name), path) for path in sysfs.glob("video*")]
    for index, entry in sorted((int(match[1]), path) for match, path in found if match):
        node = Path("/dev") / entry.name
        capability = query(node)
        if capability is None:
            continue
        name = _read_line(entry / "name") or capability.card
        if capability.driver == _LOOPBACK_DRIVER:
            virtual.append(VirtualCamera(name, str(node), bool(capability.flags & OUTPUT)))
        elif capability.flags & CAPTURE:
            cameras.append(Camera(index, name, str(node)))
    return cameras, virtual


def list_cameras() -> list[Camera]:
    """The cameras of this machine. Off Linux each index that might be one, untested."""
    if sys.platform == "linux":
        return v4l2_devices()[0]
    return [Camera(index, f"camera {index}", "") for index in range(PROBED_INDEXES)]


def cameras_to_show() -> list[Camera]:
    """The cameras that people are shown: the kernel's list on Linux, untested (another program may
    have one of them); elsewhere those that open.
    """
    if sys.platform == "linux":
        return list_cameras()
    from vcam_relight.vcam.core.errors import SourceError
    from vcam_relight.vcam.sources.camera import CameraSource

    working = []
    for camera in list_cameras():
        source = CameraSource(camera.index, (1280, 720), 30.0)
        try:
            source.open()
            working.append(camera)
        except SourceError:
            continue
        finally:
            source.close()
    return working


def list_virtual_cameras() -> list[VirtualCamera]:
    """The virtual cameras; off Linux those that pyvirtualcam can open now."""
    if sys.platform == "linux":
        return v4l2_devices()[1]
    from vcam_relight.vcam.core.errors import SinkError
    from vcam_relight.vcam.sinks.virtual_camera import VirtualCameraSink

    sink = VirtualCameraSink((1280, 720), 30.0)
    try:
        sink.open()
        return [VirtualCamera(sink.device, sink.device, True)]
    except SinkError:
        return []
    finally:
        sink.close()


def _read_line(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
