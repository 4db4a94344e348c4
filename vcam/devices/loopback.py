"""v4l2loopback, Linux's virtual camera, written to without a library.

pyvirtualcam keeps failed writes to itself, and with `exclusive_caps=1` v4l2loopback 0.12 takes it
only once per module load, since it never says that it streams (pyvirtualcam#61).
"""

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.devices.consumers import ConsumerMonitor
from vcam_relight.vcam.devices.listing import list_virtual_cameras
from vcam_relight.vcam.devices.pixel_formats import Pixels
from vcam_relight.vcam.devices.setup_hints import LABEL, RELOAD_MODULE, how_to_get_one
from vcam_relight.vcam.devices.v4l2 import CAPTURE, OUTPUT, query_capability
from vcam_relight.vcam.media.letterbox import even

FORMATS = {"YU12": "I420", "NV12": "NV12", "YUYV": "YUYV", "UYVY": "UYVY"}
"""V4L2's name -> ours, best first: 4:2:0 is half of the bytes, planar needs no shuffling."""

_BUFFER_OUTPUT = 2  # enum v4l2_buf_type
_FIELD_NONE, _COLORSPACE_SRGB = 1, 8
_YCBCR_601, _LIMITED_RANGE = 1, 2
_EXTENDED = 0xFEEDCAFE  # V4L2_PIX_FMT_PRIV_MAGIC: the fields after it count


class _PixFormat(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("pixelformat", ctypes.c_uint32),
        ("field", ctypes.c_uint32),
        ("bytesperline", ctypes.c_uint32),
        ("sizeimage", ctypes.c_uint32),
        ("colorspace", ctypes.c_uint32),
        ("priv", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("ycbcr_enc", ctypes.c_uint32),
        ("quantization", ctypes.c_uint32),
        ("xfer_func", ctypes.c_uint32),
    )


class _Payload(ctypes.Union):
    _fields_ = (("pix", _PixFormat), ("raw", ctypes.c_uint8 * 200), ("align", ctypes.c_void_p))


class _Format(ctypes.Structure):
    _fields_ = (("type", ctypes.c_uint32), ("fmt", _Payload))


class _StreamParm(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("capability", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("numerator", ctypes.c_uint32),
        ("denominator", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 184),
    )


_READ, _WRITE = 2 << 30, 1 << 30  # linux/ioctl.h
_S_FMT = _READ | _WRITE | ctypes.sizeof(_Format) << 16 | ord("V") << 8 | 5
_S_PARM = _READ | _WRITE | ctypes.sizeof(_StreamParm) << 16 | ord("V") << 8 | 22
_STREAMON = _WRITE | ctypes.sizeof(ctypes.c_int) << 16 | ord("V") << 8 | 18


def find_loopbacks(wish: str | None) -> Iterator[tuple[str, str]]:
    """Path and name of the devices that are meant, the likeliest first.

    Args:
        wish: a path, or the name that other programs list; None: any.
    """
    found = list_virtual_cameras()
    if wish is None:
        for camera in sorted(found, key=lambda camera: (camera.name != LABEL, not camera.writable)):
            yield camera.path, camera.name
        return
    path = os.path.realpath(wish)  # of links like those in /dev/v4l/by-path
    meant = [camera for camera in found if camera.name == wish or camera.path == path]
    if not meant and "/" in wish and Path(path).exists():
        yield path, wish  # opening it will say what is wrong with it
    for camera in meant:
        yield camera.path, camera.name


class LoopbackOutput:
    """An open v4l2loopback device. It is free again when this is closed or the program dies."""

    def __init__(self, path: str, name: str, size: tuple[int, int], fps: float) -> None:
        """Opens the device and agrees on a format.

        Args:
            path: `/dev/videoN`.
            name: what other programs list.
            size: width and height wished for, in pixels; while a reader holds on to what an
                earlier writer sent, the device keeps that size and format.
            fps: what readers are told.

        Raises:
            SinkError: it cannot be opened or takes no images.
        """
        self.name = name
        self.path = path
        with _explained(path), contextlib.ExitStack() as undo:
            self._fd = _open_for_writing(path)
            undo.callback(os.close, self._fd)
            self.size, self.format = self._negotiate(even(size), fps)
            self._consumers = ConsumerMonitor(self._fd, Path(path))
            undo.pop_all()

    @property
    def has_consumers(self) -> bool:
        """Whether another program reads it."""
        return self._consumers.present

    def send(self, pixels: Pixels) -> None:
        """Writes one image in `format` and `size`.

        Raises:
            SinkError: the device does not take it.
        """
        with _explained(self.path):
            if os.write(self._fd, pixels.data) < pixels.nbytes:
                raise SinkError(f"{self.path} takes smaller pictures than it said", RELOAD_MODULE)

    def close(self) -> None:
        """Releases the device."""
        self._consumers.close()
        with contextlib.suppress(OSError):
            os.close(self._fd)

    def _negotiate(self, size: tuple[int, int], fps: float) -> tuple[tuple[int, int], str]:
        given = ""
        for fourcc in FORMATS:
            wish = _Format(type=_BUFFER_OUTPUT)
            pix = wish.fmt.pix
            pix.width, pix.height = size
            pix.pixelformat = int.from_bytes(fourcc.encode(), "little")
            pix.field, pix.colorspace, pix.priv = _FIELD_NONE, _COLORSPACE_SRGB, _EXTENDED
            pix.ycbcr_enc, pix.quantization = _YCBCR_601, _LIMITED_RANGE
            fcntl.ioctl(self._fd, _S_FMT, wish)
            given = pix.pixelformat.to_bytes(4, "little").decode("ascii", "replace")
            if given in FORMATS:
                break
        else:
            raise SinkError(
                f"{self.path} is held to the format {given} by a program that shows it",
                "close that program's camera for a moment",
            )
        rate = _StreamParm(type=_BUFFER_OUTPUT, numerator=1000, denominator=round(fps * 1000))
        with contextlib.suppress(OSError):  # what readers are told, no more
            fcntl.ioctl(self._fd, _S_PARM, rate)
        _claim(self._fd)
        return (pix.width, pix.height), FORMATS[given]


def _open_for_writing(path: str) -> int:
    """A descriptor of the device, which no other vcam can get while it is open."""
    for retried in (False, True):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _in_use(path) from None
            capability = query_capability(Path(path))
            if capability is None:
                raise SinkError(f"{path} is no virtual camera", "`vcam devices` lists them")
            if capability.flags & OUTPUT:
                undo.pop_all()
                return fd
            if capability.flags & CAPTURE:  # another program streams into it
                raise _in_use(path)
            # v4l2loopback 0.12, left by a program that wrote without STREAMON: it believes that
            # somebody still writes until one who did say STREAMON closes it.
            if not retried:
                _claim(fd)
    raise SinkError(f"{path} takes no pictures", f"load its module anew: {RELOAD_MODULE}")


def _claim(fd: int) -> None:
    """Says that this descriptor streams.

    With that 0.12 knows when its writer has gone; later releases know by themselves, and refuse.
    """
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, _STREAMON, ctypes.c_int(_BUFFER_OUTPUT))


def _in_use(path: str) -> SinkError:
    return SinkError(
        f"{path} is in use by another program that writes to it",
        f"close that program (`fuser -v {path}` names it), or choose another device",
    )


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turns what the system says into what a person can do about it."""
    try:
        yield
    except PermissionError:
        raise SinkError(
            f"{path} may not be opened by you",
            "add yourself to the group: sudo usermod -aG video $USER, then log in again",
        ) from None
    except FileNotFoundError:
        raise SinkError(f"{path} is missing", how_to_get_one()) from None
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise _in_use(path) from None
        raise SinkError(
            f"{path} takes no pictures ({error.strerror})", f"load its module anew: {RELOAD_MODULE}"
        ) from None
