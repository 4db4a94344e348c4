"""Linear images as video: their square roots in 12-bit H.265 without chroma subsampling."""

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.color import LUMINANCE_RGB
from vcam_relight.pipeline.core.image import FloatArray

_MAX = 4095
_FORMAT = "yuv444p12le"
_RED, _BLUE = (2 * (1 - float(LUMINANCE_RGB[channel])) for channel in (0, 2))
"""Ranges of the colour differences B - Y and R - Y (ITU-R BT.709)."""


def encode_images(images: FloatArray, crf: float | None) -> bytes:
    """Compresses images, best in an order in which each resembles the one before.

    Args:
        images: `(N, H, W, 3)` linear RGB in 0..1; what is outside is clipped. H and W are even.
        crf: x265's quality, 0 to 51; 6 more about halve the size. None loses nothing more after the
            rounding to 12 bits.

    Returns:
        A Matroska file.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx265", rate=25)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = _FORMAT
        stream.time_base = Fraction(1, 25)
        quality = "lossless=1" if crf is None else f"crf={crf}"
        stream.options = {
            "preset": "slow",
            "tune": "psnr",
            "x265-params": f"log-level=error:keyint=-1:{quality}",
        }
        for index, image in enumerate(images):
            frame = av.VideoFrame(image.shape[1], image.shape[0], _FORMAT)
            for plane, values in zip(frame.planes, _to_planes(image), strict=True):
                rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
                rows[:, : plane.width] = values
                plane.update(rows.tobytes())
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def decode_images(video: bytes) -> FloatArray:
    """`(N, H, W, 3)` float32 linear RGB in 0..1 of what `encode_images` made.

    Raises:
        ValueError: it is damaged.
    """
    images: list[FloatArray] = []
    try:
        with av.open(io.BytesIO(video), "r") as container:
            for frame in container.decode(video=0):
                if frame.format.name != _FORMAT:
                    raise ValueError(f"pixels are {frame.format.name}, not {_FORMAT}")
                planes = [
                    np.frombuffer(memoryview(plane), "<u2").reshape(frame.height, -1)
                    for plane in frame.planes
                ]
                images.append(_from_planes([plane[:, : frame.width] for plane in planes]))
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError("its video is damaged") from error
    return np.stack(images) if images else np.zeros((0, 0, 0, 3), np.float32)


def _to_planes(image: FloatArray) -> list[NDArray[np.uint16]]:
    root = np.sqrt(np.clip(image, 0, 1))
    y = root @ LUMINANCE_RGB
    planes = (y, (root[..., 2] - y) / _BLUE + 0.5, (root[..., 0] - y) / _RED + 0.5)
    return [np.clip(np.rint(plane * _MAX), 0, _MAX).astype("<u2") for plane in planes]


def _from_planes(planes: Sequence[NDArray[np.uint16]]) -> FloatArray:
    y, blue, red = (plane.astype(np.float32) / _MAX for plane in planes)
    r, b = y + _RED * (red - 0.5), y + _BLUE * (blue - 0.5)
    g = (y - LUMINANCE_RGB[0] * r - LUMINANCE_RGB[2] * b) / LUMINANCE_RGB[1]
    root: FloatArray = np.clip(np.stack([r, g, b], axis=-1), 0, 1)
    return root * root
