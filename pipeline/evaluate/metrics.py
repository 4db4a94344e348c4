"""Image metrics against a reference, on the person's pixels.

All images are 8-bit and sRGB-encoded, as they are seen; errors are taken on the encoded values.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.color import DECODE_8BIT, encode_srgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray

Mask = NDArray[np.bool_]
"""`(H, W)` the pixels that count."""

LARGEST_DB = 60.0
"""PSNR of equal images; a difference of one level in a tenth of all values is 58 dB."""

_LOG_GAINS: FloatArray = np.linspace(-np.log(16), np.log(16), 1201, dtype=np.float32)
"""Gains of 1/16 to 16 in steps of 0.5%; the middle one is exactly 1."""
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(image: BgrImage, reference: BgrImage, mask: Mask) -> float:
    """Peak signal-to-noise ratio in dB over the mask's pixels, at most `LARGEST_DB`."""
    difference = image[mask].astype(np.float64) - reference[mask]
    error = float(np.mean(difference * difference))
    if error == 0:
        return LARGEST_DB
    return min(10 * float(np.log10(255.0**2 / error)), LARGEST_DB)


def ssim(image: BgrImage, reference: BgrImage, mask: Mask) -> float:
    """Structural similarity of luma, the mean over the mask, at most 1.

    As in Wang et al. (2004): Gaussian window of 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03. Outside
    of the mask both images are the reference, so that windows at the person's edge compare the
    person alone.
    """
    inside = np.where(mask[..., None], image, reference)
    x = cv2.cvtColor(inside, cv2.COLOR_BGR2GRAY).astype(np.float64)
    y = cv2.cvtColor(reference, cv2.COLOR_BGR2GRAY).astype(np.float64)
    mean_x, mean_y = _window(x), _window(y)
    var_x = _window(x * x) - mean_x * mean_x
    var_y = _window(y * y) - mean_y * mean_y
    covariance = _window(x * y) - mean_x * mean_y
    likeness = ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
        (mean_x * mean_x + mean_y * mean_y + _C1) * (var_x + var_y + _C2)
    )
    return float(likeness[mask].mean())


def best_gain(image: BgrImage, reference: BgrImage, mask: Mask) -> float:
    """The gain of linear light that suits `image` best, common to all channels.

    It has the smallest squared error of sRGB-encoded values, and is never worse than 1.
    """
    values, target = image[mask].ravel(), reference[mask].ravel().astype(np.float64)
    count = np.bincount(values, minlength=256).astype(np.float64)
    total = np.bincount(values, target, 256)
    coded = _gained(np.exp(_LOG_GAINS)[:, None])
    # sum of (coded - target)^2 without the part that no gain changes
    error = (coded * coded) @ count - 2 * (coded @ total)
    best = int(error.argmin())
    middle = len(_LOG_GAINS) // 2
    return 1.0 if error[best] >= error[middle] else float(np.exp(_LOG_GAINS[best]))


def with_gain(image: BgrImage, gain: float) -> BgrImage:
    """`image` with its linear light multiplied, clipped and encoded to 8 bits again."""
    lut = _gained(np.array([[gain]], np.float32))[0].astype(np.uint8)
    return np.asarray(cv2.LUT(image, lut), np.uint8)


@dataclass(frozen=True, slots=True)
class BackgroundChange:
    """How much of what is not the person changed."""

    mean_levels: float
    """Mean absolute difference in levels of 255."""
    share: float
    """0..1, of pixels of which a channel changed by more than 3 levels."""


def background_change(output: BgrImage, frame: BgrImage, background: Mask) -> BackgroundChange:
    """Compares an output with its input on the background's pixels."""
    if not background.any():
        return BackgroundChange(0.0, 0.0)
    difference = cv2.absdiff(output, frame)[background]
    changed = (difference > 3).any(axis=1)
    return BackgroundChange(float(difference.mean()), float(changed.mean()))


def _window(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    blurred = cv2.GaussianBlur(plane, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float64)


def _gained(gains: FloatArray) -> NDArray[np.float64]:
    """`(N, 256)` the 8-bit value that each 8-bit value becomes under `(N, 1)` gains."""
    return np.round(encode_srgb(DECODE_8BIT[None] * gains).astype(np.float64) * 255)
