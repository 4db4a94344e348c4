"""Denoising by the kernel in C++ is that of OpenCV, but for rounding."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vcam_relight.pipeline.compositing.opencv_denoise import OpenCvDenoise
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.native.denoise import DenoiseKernel, denoise_kernel


def noisy(size: tuple[int, int], seed: int) -> BgrImage:
    """A smooth image with edges and a camera's noise."""
    rng = np.random.default_rng(seed)
    width, height = size
    image = cv2.resize(rng.integers(0, 256, (5, 8, 3), np.uint8), size).astype(np.float32)
    image[height // 3 :, width // 2 :] *= 0.4
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def apart(one: NDArray[np.generic], other: NDArray[np.generic]) -> FloatArray:
    assert one.shape == other.shape and one.dtype == other.dtype
    return np.abs(one.astype(np.float32) - other.astype(np.float32))


@pytest.mark.parametrize("size", [(640, 360), (322, 242), (6, 4), (2, 2), (1, 1)])
@pytest.mark.parametrize("moves", [True, False])
def test_every_step_is_opencvs(size: tuple[int, int], moves: bool) -> None:
    native = denoise_kernel()
    assert native is not None, "there is no compiler"
    width, height = size
    frame, last = noisy(size, 1), noisy(size, 2)
    kernels: tuple[DenoiseKernel, DenoiseKernel] = (native, OpenCvDenoise())
    (now, rough), (other, roughness) = (kernel.halve(frame, 8) for kernel in kernels)
    assert apart(now, other).max() <= 1
    if min(size) >= 3:
        mean = np.arange(len(rough)) @ rough / rough.sum()
        assert mean == pytest.approx(np.arange(len(rough)) @ roughness / roughness.sum(), rel=0.05)
    before, _ = native.halve(last, 8)
    grid = (max(height // 5, 1), max(width // 5, 1))
    flow = np.random.default_rng(3).uniform(-3, 3, (*grid, 2)).astype(np.float32)
    amount = cv2.resize(
        np.arange(12, dtype=np.uint8).reshape(3, 4) * 23, (now.shape[2], now.shape[1])
    )
    averages = [
        kernel.average(now, before, flow if moves else None, amount, 4.0, 0.85)
        for kernel in kernels
    ]
    (clean, share), (other_clean, other_share) = averages
    # A place is known to a sixteenth of a pixel, and edges are a hundred levels high.
    assert apart(clean, other_clean).mean() < 0.2 and apart(share, other_share).mean() < 2
    filtered = [kernel.filter(clean, now[0], share, amount, (3.6, 12.0), 0.6) for kernel in kernels]
    assert apart(filtered[0], filtered[1]).max() <= 2  # sixteenths
    done = [kernel.finish(frame, now[0], filtered[0], amount, 5.7) for kernel in kernels]
    assert apart(done[0], done[1]).max() <= 1
    untouched = cv2.resize(amount, size, interpolation=cv2.INTER_NEAREST) == 0
    assert np.array_equal(done[0][untouched], frame[untouched])


@pytest.mark.parametrize("size", [(641, 361), (5, 3), (5, 1), (1, 5), (2, 1)])
def test_odd_sizes_are_denoised_to_their_edges(size: tuple[int, int]) -> None:
    native = denoise_kernel()
    assert native is not None, "there is no compiler"
    frame = np.full((size[1], size[0], 3), 90, np.uint8)
    frame[-1, -1] += 1
    now, _ = native.halve(frame, 8)
    amount = np.full(now.shape[1:], 255, np.uint8)
    filtered = native.filter(now, now[0], np.zeros_like(amount), amount, (9.0, 9.0), 0.6)
    out = native.finish(frame, now[0], filtered, amount, 9.0)
    assert apart(out, np.full_like(frame, 90)).max() <= (0 if min(size) > 1 else 1)
