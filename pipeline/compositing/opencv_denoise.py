"""Denoising that runs anywhere: OpenCV, dozens of passes through memory."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import BgrImage, FloatArray, GrayImage, Map
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.native.denoise import ROUGHNESS, Change, Planes

_BOX = (5, 5)
"""Pixels around which details count as such."""
_STEPS = np.float32(255)


class OpenCvDenoise:
    """`DenoiseKernel` with OpenCV's functions."""

    def halve(self, frame: BgrImage, every: int) -> tuple[Planes, NDArray[np.int64]]:
        """See `DenoiseKernel.halve`."""
        height, width = frame.shape[:2]
        small = resize(frame, (max(1, width // 2), max(1, height // 2)))
        planes = np.ascontiguousarray(np.moveaxis(cv2.cvtColor(small, cv2.COLOR_BGR2YCrCb), 2, 0))
        rows = np.ascontiguousarray(frame[::every])
        luma = cv2.cvtColor(rows, cv2.COLOR_BGR2GRAY).astype(np.int16)
        rough = np.abs(2 * luma[:, 1:-1] - luma[:, :-2] - luma[:, 2:])
        counts = np.bincount(rough.ravel(), minlength=ROUGHNESS)
        return np.asarray(planes, np.uint8), np.asarray(counts, np.int64)

    def average(
        self,
        now: Planes,
        before: Planes,
        flow: FloatArray | None,
        amount: GrayImage,
        limit: float,
        keep: float,
    ) -> tuple[Planes, GrayImage]:
        """See `DenoiseKernel.average`."""
        if flow is not None:
            before = _moved(before, flow)
        apart = cv2.subtract(now[0], before[0], dtype=cv2.CV_16S)
        apart = np.abs(cv2.blur(apart.astype(np.float32), (3, 3), borderType=cv2.BORDER_REPLICATE))
        agreement = np.clip(2 - apart * np.float32(1 / limit), 0, 1)
        share = agreement * amount * np.float32(keep / 255)
        clean = now + (before.astype(np.float32) - now) * share
        return _levels(clean), _levels(share * _STEPS)

    def filter(
        self,
        clean: Planes,
        now: GrayImage,
        share: GrayImage,
        amount: GrayImage,
        limits: tuple[float, float],
        averaged: float,
    ) -> Change:
        """See `DenoiseKernel.filter`."""
        wanted = amount / _STEPS
        less = wanted * (1 - share * np.float32(averaged / 255))
        luma, red, blue = (
            _shrunk(plane, part, limit)
            for plane, part, limit in zip(
                clean, (less, wanted, wanted), (limits[0], *[limits[1]] * 2), strict=True
            )
        )
        base, red, blue = luma - now, red - 128, blue - 128
        colors = (base + 1.773 * blue, base - 0.714 * red - 0.344 * blue, base + 1.403 * red)
        return np.asarray(np.round(np.stack(colors) * 16), np.int16)

    def finish(
        self, frame: BgrImage, now: GrayImage, change: Change, amount: GrayImage, limit: float
    ) -> BgrImage:
        """See `DenoiseKernel.finish`."""
        size = (frame.shape[1], frame.shape[0])
        luma = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
        details = luma - resize(now.astype(np.float32), size)
        share = cv2.resize(amount, size, interpolation=cv2.INTER_NEAREST)
        kept = luma - _noise(details, limit) * (share / _STEPS)
        colors = [kept + resize(one.astype(np.float32), size) / 16 for one in change]
        out = cv2.merge([_levels(color) for color in colors])
        return np.asarray(np.where(share[..., None] > 0, out, frame), np.uint8)


def _noise(details: FloatArray, limit: float) -> FloatArray:
    """What is noise of details: all that is smaller, the less of what is larger."""
    size = np.maximum(np.abs(details), np.float32(1e-3))
    return np.asarray(np.copysign(np.minimum(size, limit**2 / size), details), np.float32)


def _shrunk(plane: GrayImage, share: Map, limit: float) -> Map:
    values = plane.astype(np.float32)
    smooth = cv2.blur(values, _BOX, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(values - _noise(values - smooth, limit) * share, np.float32)


def _levels(values: FloatArray) -> NDArray[np.uint8]:
    return np.asarray(np.clip(values + np.float32(0.5), 0, 255), np.uint8)


def _moved(planes: Planes, flow: FloatArray) -> Planes:
    height, width = planes.shape[1:]
    x, y = (resize(np.ascontiguousarray(flow[..., axis]), (width, height)) for axis in (0, 1))
    x += np.arange(width, dtype=np.float32)
    y += np.arange(height, dtype=np.float32)[:, None]
    method, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    return np.stack([cv2.remap(plane, x, y, method, borderMode=border) for plane in planes])
