"""Radiance images (`.hdr`), of every orientation, line end and colour.

OpenCV decodes the scanlines, whatever they are; the header is ours, since it reads one kind only.
"""

import re
from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray

MAGIC = b"#?"

_HEADER = 1 << 16  # bytes in which the header ends
_RESOLUTION = re.compile(
    rb"([+-])([XY])[ \t]+([0-9]{1,6})[ \t]+([+-])([XY])[ \t]+([0-9]{1,6})[ \t]*"
)
_XYZ_TO_RGB = np.array(
    [[2.5652, -1.1665, -0.3986], [-1.0221, 1.9783, 0.0438], [0.0747, -0.2519, 1.1772]], np.float32
)
"""CIE XYZ to the linear RGB of Radiance's own primaries (Ward, `color.h`), near enough sRGB's."""


@dataclass(frozen=True, slots=True)
class RadianceHeader:
    """How the scanlines lie."""

    body: int
    """Offset of the first scanline."""
    down: int
    """Scanlines."""
    along: int
    """Pixels of each."""
    is_columns: bool
    """Whether scanlines are columns."""
    flips: tuple[bool, bool]
    """Whether rows go up, and columns to the left."""
    is_xyz: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image in pixels."""
        return (self.down, self.along) if self.is_columns else (self.along, self.down)


def read_header(data: bytes) -> RadianceHeader:
    """Reads the lines before the pixels.

    Raises:
        ValueError: they are damaged, or of an unknown format.
    """
    at, kind = 0, b"32-bit_rle_rgbe"
    while at < _HEADER:
        end = re.compile(rb"\r\n|\n|\r").search(data, at, at + _HEADER)
        if end is None:
            break
        line, at = data[at : end.start()].strip(), end.end()
        if line.startswith(b"FORMAT="):
            kind = line[7:].strip()
        resolution = _RESOLUTION.fullmatch(line)
        if resolution is None:
            continue
        first, axis, down, second, other, along = resolution.groups()
        sizes = int(down), int(along)
        if axis == other or min(sizes) < 1 or kind not in (b"32-bit_rle_rgbe", b"32-bit_rle_xyze"):
            break
        signs = {axis: first, other: second}
        flips = signs[b"Y"] == b"+", signs[b"X"] == b"-"
        return RadianceHeader(at, *sizes, axis == b"X", flips, kind.endswith(b"xyze"))
    raise ValueError("its header is damaged")


def decode(data: bytes, header: RadianceHeader) -> FloatArray:
    """The image as `(H, W, 3)` float32 linear RGB.

    Raises:
        ValueError: it is damaged.
    """
    lines = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {header.down} +X {header.along}\n"
    encoded = np.frombuffer(lines.encode() + data[header.body :], np.uint8)
    try:
        stored = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        stored = None
    if stored is None or stored.shape[:2] != (header.down, header.along):
        raise ValueError("it is damaged or cut short")
    image: FloatArray = np.asarray(stored[..., ::-1], np.float32)
    if header.is_columns:
        image = image.transpose(1, 0, 2)
    up, left = header.flips
    image = image[:: -1 if up else 1, :: -1 if left else 1]
    if header.is_xyz:
        image = image @ _XYZ_TO_RGB.T
    return np.ascontiguousarray(image)
