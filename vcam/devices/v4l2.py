"""What a Video4Linux device says it is. Asking opens no stream and lights no LED."""

import ctypes
from dataclasses import dataclass
from pathlib import Path

CAPTURE = 0x00000001 | 0x00001000
"""In `Capability.flags`: it gives frames (`V4L2_CAP_VIDEO_CAPTURE` and its multi-planar kin)."""
OUTPUT = 0x00000002
"""In `Capability.flags`: it takes frames (`V4L2_CAP_VIDEO_OUTPUT`)."""
LOOPBACK_DRIVER = "v4l2 loopback"
"""`Capability.driver` of v4l2loopback's devices."""

_VIDIOC_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability), linux/videodev2.h
_HAS_DEVICE_CAPS = 0x80000000


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
