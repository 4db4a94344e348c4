"""OpenEXR images: FFmpeg's decoder, and the OpenEXR library where it is installed.

OpenCV's wheels are built without OpenEXR. FFmpeg decodes one layer, which has to be named unless it
has no name; mixed and whole-number channels and the newer compressions are left to the library.
"""

import io
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from vcam_relight.pipeline.core.image import FloatArray

MAGIC = b"v/1\x01"

_MORE = "save it as RGB half with ZIP compression, or pip install 'vcam-relight[exr]'"
_BEST = ("Combined", "Beauty", "RGBA")  # what renderers call the finished image


_TILED, _OTHER_THAN_ONE_PICTURE = 0x02, 0x18
"""Of the second byte of the version; the others are deep samples and several parts."""
_ROWS_OF_CHUNK = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
"""By compression: none, RLE, ZIPS, ZIP, PIZ, PXR24, B44, B44A, DWAA, DWAB."""


@dataclass(frozen=True, slots=True)
class ExrHeader:
    """What the beginning of the file says of its first part."""

    size: tuple[int, int]
    """Width and height in pixels of what is shown or stored, the larger of each."""
    channels: tuple[str, ...]
    chunks: tuple[int, int, int] | None
    """Where the table of its chunks lies, their number, and the bytes of each before its size;
    None where that is not known."""


def read_header(data: bytes) -> ExrHeader:
    """Reads size and channels, without any pixels.

    Raises:
        ValueError: it is damaged.
    """
    boxes, channels, at = [], [], 8
    window, tile, compression = (0, 0), (0, 0), -1
    try:
        while data[at] != 0:
            name, at = _text(data, at)
            _, at = _text(data, at)
            (size,) = struct.unpack_from("<i", data, at)
            at += 4
            value = data[at : at + size]
            if name in ("dataWindow", "displayWindow"):
                left, top, right, bottom = struct.unpack("<4i", value)
                boxes.append((right - left + 1, bottom - top + 1))
                window = boxes[-1] if name == "dataWindow" else window
            elif name == "tiles":
                tile = struct.unpack_from("<2I", value)
            elif name == "compression":
                compression = value[0]
            elif name == "channels":
                channels = _channels(value)
            at += max(size, 0)
    except (IndexError, struct.error, ValueError):
        raise ValueError("its header is damaged") from None
    if not boxes or min(map(min, boxes)) < 1:
        raise ValueError("its header is damaged")
    chunks = None
    if not data[5] & _OTHER_THAN_ONE_PICTURE:
        if data[5] & _TILED and all(tile):
            count = math.prod(-(-a // b) for a, b in zip(window, tile, strict=True))
            chunks = (at + 1, count, 16)
        elif compression in _ROWS_OF_CHUNK:
            chunks = (at + 1, -(-window[1] // _ROWS_OF_CHUNK[compression]), 4)
    return ExrHeader((max(w for w, _ in boxes), max(h for _, h in boxes)), tuple(channels), chunks)


def _check_chunks(data: bytes, table: int, count: int, head: int) -> None:
    """Refuses a file that lacks rows, which FFmpeg shows black, or full of what it decoded before.

    Some writers leave zeros for where the chunks are. A chunk's size is `head` bytes behind its
    beginning; of files with several levels the largest is looked at.
    """
    try:
        for place in struct.unpack_from(f"<{count}Q", data, table):
            end = place + head
            if place and end + 4 + struct.unpack_from("<I", data, end)[0] > len(data):
                raise ValueError("it is damaged or cut short")
    except (struct.error, OverflowError, MemoryError):
        raise ValueError("it is damaged or cut short") from None


def read_exr(path: Path, data: bytes, header: ExrHeader) -> FloatArray:
    """The image as `(H, W, 3)` float32; an image of one channel is grey.

    Args:
        path: the file.
        data: its content.
        header: as `read_header` gives it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, cut short, or of a kind that neither decoder reads.
    """
    if header.chunks is not None:
        _check_chunks(data, *header.chunks)
    layer = _layer(header.channels)
    try:
        return _by_ffmpeg(data, layer)
    except (av.FFmpegError, StopIteration, IndexError, ValueError) as error:
        try:
            import OpenEXR
        except ImportError:
            raise ValueError(
                f"it is damaged, or of a kind that FFmpeg does not decode; {_MORE}"
            ) from error
        try:
            parts = OpenEXR.File(str(path), separate_channels=True).parts
            return _by_library([part.channels for part in parts])
        except Exception as again:  # the library's own, of any kind
            raise ValueError(f"it is damaged, or no picture in RGB ({again})") from again


def _by_ffmpeg(data: bytes, layer: str) -> FloatArray:
    with av.open(io.BytesIO(data), "r", format="exr_pipe") as container:
        stream = container.streams.video[0]
        if not isinstance(stream, VideoStream):
            raise ValueError("no picture")
        if layer:
            stream.codec_context.options = {"layer": layer}
        frame = next(container.decode(stream))
    name = frame.format.name
    kind = np.dtype("<f2" if "f16" in name else "<f4")
    if not name.startswith(("gbrp", "gbrap", "gray")) or not name.endswith(("f16le", "f32le")):
        raise ValueError(f"pixels of the kind {name}")
    planes = [
        np.frombuffer(memoryview(plane), kind).reshape(frame.height, -1)[:, : frame.width]
        for plane in frame.planes
    ]
    order = (0, 0, 0) if name.startswith("gray") else (2, 0, 1)  # planes lie as G, B, R
    result: FloatArray = np.stack([planes[index] for index in order], axis=-1).astype(np.float32)
    return result


def _by_library(parts: list[dict[str, "OpenEXR.Channel"]]) -> FloatArray:  # type: ignore[name-defined]  # noqa: F821
    for channels in parts:
        layer = _layer(tuple(channels))
        prefix = f"{layer}." if layer else ""
        by_name = {name.lower(): channel.pixels for name, channel in channels.items()}
        found = [by_name.get(f"{prefix}{colour}".lower()) for colour in "RGB"]
        if any(plane is None for plane in found):
            found = [by_name.get(f"{prefix}Y".lower())] * 3
        planes = [plane for plane in found if plane is not None]
        if len(planes) == 3 and planes[0].shape == planes[1].shape == planes[2].shape:
            result: FloatArray = np.stack(planes, axis=-1).astype(np.float32)
            return result
    raise ValueError("no part has the channels R, G and B")


def _layer(channels: tuple[str, ...]) -> str:
    """The layer to show: one without a name, a renderer's finished image, or else the first."""
    layers: dict[str, set[str]] = {}
    for name in channels:
        layer, _, colour = name.rpartition(".")
        layers.setdefault(layer, set()).add(colour.upper())
    for wanted in ({"R", "G", "B"}, {"Y"}):
        found = [layer for layer, colours in layers.items() if wanted <= colours]
        for layer in found:
            if not layer or layer.rpartition(".")[2] in _BEST:
                return layer
        if found:
            return found[0]
    return ""


def _channels(value: bytes) -> list[str]:
    names, at = [], 0
    while value[at] != 0:
        name, at = _text(value, at)
        names.append(name)
        at += 16  # its type, its linearity, its sampling
    return names


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode("latin-1"), end + 1
