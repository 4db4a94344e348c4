"""The compositing kernel: a plain library, so that engines without torch have it too."""

import ctypes
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.window import Window
from vcam_relight.pipeline.native.build import (
    BUILD_ERRORS,
    compile_library,
    cpu_flags,
    load_library,
    sources,
    warn_of,
)

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
    """The kernel, or None, with a warning, where it cannot be built.

    The first call builds it, which takes some seconds.
    """
    files, flags = sources("composition.cpp"), cpu_flags()
    try:
        library = load_library(
            "vcam_composition",
            [*files, *sources("pixels.h", "vec.h")],
            flags,
            partial(compile_library, files, flags),
            _opened,
        )
    except BUILD_ERRORS as error:
        warn_of(error)
        return None
    return partial(_compose, library)


def _opened(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.compose.restype = None
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    library.compose.argtypes = [
        pointer, number, number,
        pointer, number, number,
        ctypes.POINTER(_Patch), number,
        ctypes.POINTER(number), pointer,
    ]  # fmt: skip
    return library


def _compose(
    library: ctypes.CDLL,
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
    library.compose(
        frame.ctypes.data, *frame.shape[:2],
        grid.ctypes.data, *grid.shape[:2],
        placed, len(patches), corners, output.ctypes.data,
    )  # fmt: skip
