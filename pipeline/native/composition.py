"""The compositing kernel."""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Protocol

import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.window import Window
from vcam_relight.pipeline.native.library import kernel_library

PlacedPatch = tuple[FloatArray, float, float, float]
"""`(n, n, 3)` RGB, and left, top and side of the square that it covers, in pixels of the half-size
frame."""


class ComposeKernel(Protocol):
    """Writes a window of a frame with its light changed; see `composition.cpp`."""

    def __call__(
        self,
        frame: BgrImage,
        grid: FloatArray,
        patches: Sequence[PlacedPatch],
        window: Window,
        output: BgrImage,
    ) -> None:
        """Takes the frame and the gains of its encoded values.

        Args:
            frame: `(H, W, 3)`.
            grid: `(h, w, 8)`: coefficients a and b of the matte, RGB gain of the person, RGB gain
                of everything else.
            patches: what is added to the person's gain.
            window: of the half-size frame.
            output: `(H, W, 3)`, contiguous; pixels outside the window are left as they are.
        """


class _Patch(ctypes.Structure):
    _fields_ = [
        ("values", ctypes.c_void_p), ("count", ctypes.c_int64),
        ("left", ctypes.c_double), ("top", ctypes.c_double), ("side", ctypes.c_double),
    ]  # fmt: skip


@cache
def compose_kernel() -> ComposeKernel | None:
    """The kernel, or None where there are none; see `kernel_library`."""
    library = kernel_library()
    if library is None:
        return None
    function = library.functions.compose
    function.restype = None
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    function.argtypes = [
        pointer, number, number,
        pointer, number, number,
        ctypes.POINTER(_Patch), number,
        ctypes.POINTER(number), pointer,
    ]  # fmt: skip
    return partial(_compose, function)


def _compose(
    function: Callable[..., None],
    frame: BgrImage,
    grid: FloatArray,
    patches: Sequence[PlacedPatch],
    window: Window,
    output: BgrImage,
) -> None:
    frame = np.ascontiguousarray(frame)
    grid = np.ascontiguousarray(grid)
    values = [np.ascontiguousarray(patch[0]) for patch in patches]  # held while they are read
    placed = (_Patch * len(patches))(
        *(
            _Patch(array.ctypes.data, len(array), left, top, side)
            for array, (_, left, top, side) in zip(values, patches, strict=True)
        )
    )
    corners = (ctypes.c_int64 * 4)(window.left, window.top, window.right, window.bottom)
    function(
        frame.ctypes.data, *frame.shape[:2],
        grid.ctypes.data, *grid.shape[:2],
        placed, len(patches), corners, output.ctypes.data,
    )  # fmt: skip
