"""The formats, sizes and frame rates that a V4L2 camera says it has, and the rate that it keeps."""

import contextlib
import ctypes
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WARM_UP_S, MEASURED_S = 1.0, 1.5
"""The first second is left out: exposure settles, and buffers that were full are emptied."""

_CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
_DISCRETE = 1  # of V4L2_FRMSIZE_TYPE and V4L2_FRMIVAL_TYPE alike


@dataclass(frozen=True, slots=True)
class Mode:
    """One way in which a camera gives frames."""

    fourcc: str
    width: int
    height: int
    fps: float
    """The highest there is in this format and size."""


class _Description(ctypes.Structure):  # struct v4l2_fmtdesc
    _fields_ = (
        ("index", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 4),
    )


class _Size(ctypes.Structure):  # struct v4l2_frmsizeenum
    _fields_ = (
        ("index", ctypes.c_uint32),
        ("pixelformat", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("values", ctypes.c_uint32 * 6),
        ("reserved", ctypes.c_uint32 * 2),
    )


class _Interval(ctypes.Structure):  # struct v4l2_frmivalenum
    _fields_ = (
        ("index", ctypes.c_uint32),
        ("pixelformat", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("values", ctypes.c_uint32 * 6),
        ("reserved", ctypes.c_uint32 * 2),
    )


_NUMBERS: dict[type[ctypes.Structure], int] = {_Description: 2, _Size: 74, _Interval: 75}
"""Of the ioctls that enumerate, in linux/videodev2.h."""
_MANY = 256
"""No list is longer: ends what a broken driver would never end."""


def video_modes(node: Path) -> list[Mode]:
    """The camera's modes as its driver lists them; none when it cannot be asked."""
    try:
        with node.open("rb", buffering=0) as device:
            return list(_modes(device.fileno()))
    except OSError:
        return []


def _modes(fd: int) -> Iterator[Mode]:
    for description in _listed(fd, _Description(type=_CAPTURE)):
        pixels = description.pixelformat
        fourcc = pixels.to_bytes(4, "little").decode("ascii", "replace").strip()
        for size in _listed(fd, _Size(pixelformat=pixels)):
            # Discrete: width, height. Stepwise: least and largest width, step, the same in height.
            width, height = size.values[0:2] if size.type == _DISCRETE else size.values[1:5:3]
            intervals = _listed(fd, _Interval(pixelformat=pixels, width=width, height=height))
            rates = [interval.values[1] / (interval.values[0] or 1) for interval in intervals]
            yield Mode(fourcc, width, height, max(rates, default=0.0))


def _listed(fd: int, entry: Any) -> Iterator[Any]:
    """`entry` filled in by the driver for one index after the other."""
    import fcntl  # Linux only

    size = ctypes.sizeof(entry)
    request = 3 << 30 | size << 16 | ord("V") << 8 | _NUMBERS[type(entry)]  # _IOWR
    with contextlib.suppress(OSError):  # EINVAL is the end
        for index in range(_MANY):
            entry.index = index
            fcntl.ioctl(fd, request, entry)
            yield entry
            if not isinstance(entry, _Description) and entry.type != _DISCRETE:
                return  # a range, said in one entry


def measured_rate(index: int, size: tuple[int, int], fps: float) -> tuple[tuple[int, int], float]:
    """Opens a camera as the program does, and counts.

    Args:
        index: the camera's number.
        size: width and height asked of it, in pixels.
        fps: frames per second asked of it.

    Returns:
        The size that it gives, and its frames per second.

    Raises:
        SourceError: it is busy, or gives no frames.
    """
    from vcam_relight.vcam.sources.camera import CameraSource  # OpenCV may be what is missing

    source = CameraSource(index, size, fps)
    try:
        source.open()
        begin = time.perf_counter() + WARM_UP_S
        times = []
        while (frame := source.read()) and frame.captured < begin + MEASURED_S:
            if frame.captured >= begin:
                times.append(frame.captured)
                height, width = frame.image.shape[:2]
                size = width, height
        return size, (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
    finally:
        source.close()
