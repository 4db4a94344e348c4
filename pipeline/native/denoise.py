"""The denoising kernel."""

import ctypes
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import BgrImage, FloatArray, GrayImage
from vcam_relight.pipeline.native.library import kernel_library

Planes = NDArray[np.uint8]
"""`(3, h, w)` Y, Cr and Cb (ITU-R BT.601, full range) of a frame at half its size."""

Change = NDArray[np.int16]
"""`(3, h, w)` blue, green and red less luma, in sixteenths of a level."""

ROUGHNESS = 511
"""Values that `2 b - a - c` of three levels can have, without its sign."""


class DenoiseKernel(Protocol):
    """What denoising does to every pixel; arrays are C-contiguous, shares have 255 steps."""

    def halve(self, frame: BgrImage, every: int) -> tuple[Planes, NDArray[np.int64]]:
        """A frame at half its size, and how rough it is.

        Args:
            frame: `(H, W, 3)`.
            every: rows of which one is looked at.

        Returns:
            The planes, and `(511,)` how often three neighbours a, b, c in a row have each value of
            `|2 b - a - c|`.
        """

    def average(
        self,
        now: Planes,
        before: Planes,
        flow: FloatArray | None,
        amount: GrayImage,
        limit: float,
        keep: float,
    ) -> tuple[Planes, GrayImage]:
        """A frame averaged with the one before.

        Args:
            now: the frame.
            before: the one before.
            flow: `(rows, columns, 2)` from where in pixels of `before`, x and y, things came, for
                places spread over it; None: nothing has moved.
            amount: `(h, w)` how much is to be done.
            limit: differences of luma up to which frames agree; at twice that they do not.
            keep: 0..1, share of the frame before in the average, at most.

        Returns:
            The average, and `(h, w)` how much of `before` is in it.
        """

    def filter(
        self,
        clean: Planes,
        now: GrayImage,
        share: GrayImage,
        amount: GrayImage,
        limits: tuple[float, float],
        averaged: float,
    ) -> Change:
        """An average with what is noise of its details taken out, less the luma of the frame.

        Args:
            clean: the average.
            now: `(h, w)` the frame's own luma.
            share: `(h, w)` how much of the frame before is in the average.
            amount: `(h, w)` how much is to be done.
            limits: levels up to which a detail of luma, and of chroma, is noise.
            averaged: 0..1, how much less luma is filtered where frames were averaged.
        """

    def finish(
        self, frame: BgrImage, now: GrayImage, change: Change, amount: GrayImage, limit: float
    ) -> BgrImage:
        """The frame: what `filter` made of its half, and its finer details less their noise.

        Args:
            frame: `(H, W, 3)`.
            now: `(h, w)` its luma at half its size.
            change: what `filter` gave.
            amount: `(h, w)` how much is to be done; where it is 0 pixels stay as they are.
            limit: levels up to which a detail is noise.
        """


@cache
def denoise_kernel() -> DenoiseKernel | None:
    """The kernel, or None where there are none; see `kernel_library`."""
    library = kernel_library()
    return None if library is None else _NativeDenoise(library.functions)


class _NativeDenoise:
    """`denoise.cpp`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._halve = library.denoise_halve
        self._average = library.denoise_average
        self._filter = library.denoise_filter
        self._finish = library.denoise_finish
        number, real, pointer = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
        size = (number, number)
        self._halve.argtypes = [pointer, *size, number, pointer, pointer]
        self._average.argtypes = [
            pointer, pointer, *size, pointer, *size, pointer, real, real, pointer, pointer,
        ]  # fmt: skip
        self._filter.argtypes = [*[pointer] * 4, *size, real, real, real, pointer]
        self._finish.argtypes = [pointer, *size, pointer, pointer, pointer, real, pointer]
        for function in (self._halve, self._average, self._filter, self._finish):
            function.restype = None

    def halve(self, frame: BgrImage, every: int) -> tuple[Planes, NDArray[np.int64]]:
        frame = np.ascontiguousarray(frame)
        height, width = frame.shape[:2]
        half = np.empty((3, max(1, height // 2), max(1, width // 2)), np.uint8)
        rough = np.zeros(ROUGHNESS, np.int64)
        self._halve(frame.ctypes.data, height, width, every, half.ctypes.data, rough.ctypes.data)
        return half, rough

    def average(
        self,
        now: Planes,
        before: Planes,
        flow: FloatArray | None,
        amount: GrayImage,
        limit: float,
        keep: float,
    ) -> tuple[Planes, GrayImage]:
        clean, share = np.empty_like(now), np.empty(now.shape[1:], np.uint8)
        places = (None, 0, 0) if flow is None else (flow.ctypes.data, *flow.shape[:2])
        self._average(
            now.ctypes.data, before.ctypes.data, *now.shape[1:], *places, amount.ctypes.data,
            limit, keep, clean.ctypes.data, share.ctypes.data,
        )  # fmt: skip
        return clean, share

    def filter(
        self,
        clean: Planes,
        now: GrayImage,
        share: GrayImage,
        amount: GrayImage,
        limits: tuple[float, float],
        averaged: float,
    ) -> Change:
        change = np.empty(clean.shape, np.int16)
        self._filter(
            clean.ctypes.data, now.ctypes.data, share.ctypes.data, amount.ctypes.data,
            *now.shape, *limits, averaged, change.ctypes.data,
        )  # fmt: skip
        return change

    def finish(
        self, frame: BgrImage, now: GrayImage, change: Change, amount: GrayImage, limit: float
    ) -> BgrImage:
        frame = np.ascontiguousarray(frame)
        out = np.empty_like(frame)
        self._finish(
            frame.ctypes.data, *frame.shape[:2], now.ctypes.data, change.ctypes.data,
            amount.ctypes.data, limit, out.ctypes.data,
        )  # fmt: skip
        return out
