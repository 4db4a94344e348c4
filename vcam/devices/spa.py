"""What PipeWire's C interface exchanges: values packed as SPA pods, and the structs of a stream.

Layouts of `spa/pod/pod.h`, `spa/buffer/buffer.h` and `pipewire/stream.h` of PipeWire 0.3, which 1.x
keeps (MIT).
"""

import ctypes
import struct
from fractions import Fraction

# spa/utils/type.h
_ID, _INT, _RECTANGLE, _FRACTION, _OBJECT, _CHOICE = 3, 4, 10, 11, 15, 19
_FORMAT_OBJECT, _BUFFERS_OBJECT, _META_OBJECT = 0x40003, 0x40004, 0x40005
# spa/param/param.h
PARAM_FORMAT = 4
_PARAM_ENUM_FORMAT, _PARAM_BUFFERS, _PARAM_META = 3, 5, 6
# spa/param/format.h, spa/param/video/raw.h and color.h
_VIDEO, _RAW, _I420 = 2, 1, 2
_COLORIMETRY = {0x2000C: 2, 0x2000D: 4, 0x2000E: 5, 0x2000F: 4}
"""16 to 235, BT.601, BT.709's curve, SMPTE 170M: as `vcam.devices.pixel_formats` makes it."""
META_HEADER = 1

BUFFERS = (4, 2, 8)
"""How many a reader is asked for: the preferred, the least and the most number."""


def i420_format(size: tuple[int, int], fps: Fraction) -> bytes:
    """The one format that is offered: planes of Y, U and V, limited range."""
    rate = struct.pack("<II", fps.numerator, fps.denominator)
    properties = {
        1: _id(_VIDEO),
        2: _id(_RAW),
        0x20001: _id(_I420),
        0x20003: _pod(_RECTANGLE, struct.pack("<II", *size)),
        0x20004: _pod(_FRACTION, rate),
    } | {key: _id(value) for key, value in _COLORIMETRY.items()}
    return _object(_FORMAT_OBJECT, _PARAM_ENUM_FORMAT, properties)


def i420_buffers(size: tuple[int, int]) -> bytes:
    """How the memory of frames is to be."""
    width, height = size
    memory = 1 << 1 | 1 << 2  # spa/buffer/buffer.h: SPA_DATA_MemPtr, SPA_DATA_MemFd
    properties = {
        1: _choice(1, [_int(count) for count in BUFFERS]),
        2: _int(1),
        3: _int(width * height * 3 // 2),
        4: _int(width),
        6: _choice(4, [_int(memory)]),
    }
    return _object(_BUFFERS_OBJECT, _PARAM_BUFFERS, properties)


def header_meta() -> bytes:
    """Asks for room for times and numbers of frames."""
    size = _int(ctypes.sizeof(MetaHeader))
    return _object(_META_OBJECT, _PARAM_META, {1: _id(META_HEADER), 2: size})


def _pod(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", len(body), kind) + body + b"\0" * (-len(body) % 8)


def _id(value: int) -> bytes:
    return _pod(_ID, struct.pack("<I", value))


def _int(value: int) -> bytes:
    return _pod(_INT, struct.pack("<i", value))


def _choice(kind: int, pods: list[bytes]) -> bytes:
    """Values of one type, the first of which is the default; kind 1 is a range, 4 are flags."""
    (size,) = struct.unpack_from("<I", pods[0])
    values = b"".join(pod[8 : 8 + size] for pod in pods)
    return _pod(_CHOICE, struct.pack("<II", kind, 0) + pods[0][:8] + values)


def _object(kind: int, param: int, properties: dict[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<II", key, 0) + pod for key, pod in properties.items())
    return _pod(_OBJECT, struct.pack("<II", kind, param) + body)


STATE_CHANGED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_char_p)
PARAM_CHANGED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
PROCESS = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class StreamEvents(ctypes.Structure):
    """`struct pw_stream_events`, version 0, up to `drained`."""

    _fields_ = (
        ("version", ctypes.c_uint32),
        ("destroy", ctypes.c_void_p),
        ("state_changed", STATE_CHANGED),
        ("control_info", ctypes.c_void_p),
        ("io_changed", ctypes.c_void_p),
        ("param_changed", PARAM_CHANGED),
        ("add_buffer", ctypes.c_void_p),
        ("remove_buffer", ctypes.c_void_p),
        ("process", PROCESS),
        ("drained", ctypes.c_void_p),
    )


class Chunk(ctypes.Structure):
    """`struct spa_chunk`."""

    _fields_ = (
        ("offset", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("stride", ctypes.c_int32),
        ("flags", ctypes.c_int32),
    )


class Data(ctypes.Structure):
    """`struct spa_data`."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("fd", ctypes.c_int64),
        ("mapoffset", ctypes.c_uint32),
        ("maxsize", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
        ("chunk", ctypes.POINTER(Chunk)),
    )


class Meta(ctypes.Structure):
    """`struct spa_meta`."""

    _fields_ = (("type", ctypes.c_uint32), ("size", ctypes.c_uint32), ("data", ctypes.c_void_p))


class MetaHeader(ctypes.Structure):
    """`struct spa_meta_header`."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
        ("pts", ctypes.c_int64),
        ("dts_offset", ctypes.c_int64),
        ("seq", ctypes.c_uint64),
    )


class SpaBuffer(ctypes.Structure):
    """`struct spa_buffer`."""

    _fields_ = (
        ("n_metas", ctypes.c_uint32),
        ("n_datas", ctypes.c_uint32),
        ("metas", ctypes.POINTER(Meta)),
        ("datas", ctypes.POINTER(Data)),
    )


class StreamBuffer(ctypes.Structure):
    """`struct pw_buffer`, up to `requested`."""

    _fields_ = (
        ("buffer", ctypes.POINTER(SpaBuffer)),
        ("user_data", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("requested", ctypes.c_uint64),
    )
