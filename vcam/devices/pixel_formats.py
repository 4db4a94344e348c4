"""From an image to the bytes that a virtual camera takes, in one pass.

Y'CbCr is BT.601 limited range, OpenCV's and the webcams' own, which is what readers assume of a
camera that does not say.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
PixelConverter = Callable[[BgrImage], Pixels]
"""`(H, W, 3)` BGR to contiguous bytes, valid until the next call."""


def _i420(size: tuple[int, int]) -> PixelConverter:
    width, height = size
    buffer = np.empty((height * 3 // 2, width), np.uint8)

    def convert(image: BgrImage) -> Pixels:
        cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420, dst=buffer)
        return buffer

    return convert


def _nv12(size: tuple[int, int]) -> PixelConverter:
    planar = _i420(size)
    chroma = size[0] * size[1] // 4
    scratch = np.empty((2, chroma), np.uint8)

    def convert(image: BgrImage) -> Pixels:
        buffer = planar(image)  # Y stays where it is, U and V are interleaved behind it
        behind = buffer.reshape(-1)[4 * chroma :]
        scratch[:] = behind.reshape(2, chroma)
        behind.reshape(chroma, 2)[:] = scratch.T
        return buffer

    return convert


def _packed(code: int, channels: int) -> Callable[[tuple[int, int]], PixelConverter]:
    def make(size: tuple[int, int]) -> PixelConverter:
        buffer = np.empty((size[1], size[0], channels), np.uint8)

        def convert(image: BgrImage) -> Pixels:
            cv2.cvtColor(image, code, dst=buffer)
            return buffer

        return convert

    return make


CONVERTERS: dict[str, Callable[[tuple[int, int]], PixelConverter]] = {
    "I420": _i420,
    "NV12": _nv12,
    "YUYV": _packed(cv2.COLOR_BGR2YUV_YUYV, 2),
    "UYVY": _packed(cv2.COLOR_BGR2YUV_UYVY, 2),
    "RGBA": _packed(cv2.COLOR_BGR2RGBA, 4),
}
"""Format -> size in pixels, even -> what makes it from BGR in a buffer that it uses again."""
