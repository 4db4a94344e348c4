"""Pixels of the frame taken from a little further, as a smooth field over a square of it says."""

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.window import Window

A = TypeVar("A", bound=np.ndarray)  # any shape and dtype, the same out


@dataclass(frozen=True, slots=True)
class Displacement:
    """Where the pixels of a square of the frame come from."""

    field: FloatArray
    """`(n, n, 2)` of the square: how far to the right and down, in pixels of the frame."""
    middle: FloatArray
    """`(2,)` of the square, x right and y down in pixels of the frame."""
    side: float
    """In pixels of the frame."""
    window: Window
    """The part of the frame that moves; the rest stays."""


def displaced(frame: BgrImage, displacement: Displacement) -> BgrImage:
    """`(H, W, 3)`, a new image: the frame with a part of it moved."""
    window = displacement.window
    x, y = (
        enlarged(np.ascontiguousarray(part), displacement.middle, displacement.side, window)
        for part in np.moveaxis(displacement.field, 2, 0)
    )
    x += np.arange(window.left, window.right, dtype=np.float32)
    y += np.arange(window.top, window.bottom, dtype=np.float32)[:, None]
    # Cubic: at small angles every pixel lands between others, and a linear mix would blur faces.
    part = cv2.remap(frame, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    out = frame.copy()
    out[window.slices] = part
    return out


def enlarged(values: A, middle: FloatArray, side: float, window: Window) -> A:
    """`(n, n, ...)` of a square, which is 0 around it, for each pixel of a window of the frame."""
    scale = len(values) / side
    corner = middle - side / 2 - (window.left, window.top)
    matrix = np.array(
        [[scale, 0, (0.5 - corner[0]) * scale - 0.5], [0, scale, (0.5 - corner[1]) * scale - 0.5]]
    )
    size = (window.right - window.left, window.bottom - window.top)
    return cv2.warpAffine(  # type: ignore[return-value]
        values, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
