"""sRGB to linear light and back (IEC 61966-2-1)."""

import numpy as np

from vcam_relight.pipeline.core.image import Floats


def decode_srgb(encoded: Floats) -> Floats:
    """Linear light in 0..1 of encoded values in 0..1, any shape."""
    low = encoded / 12.92
    high = ((np.maximum(encoded, 0.0) + 0.055) / 1.055) ** 2.4
    result: Floats = np.where(encoded <= 0.04045, low, high).astype(np.float32)
    return result


def encode_srgb(linear: Floats) -> Floats:
    """Encoded values in 0..1 of linear light, any shape; what is outside 0..1 is clipped."""
    linear = np.clip(linear, 0.0, 1.0)
    low = linear * 12.92
    high = 1.055 * linear ** (1 / 2.4) - 0.055
    result: Floats = np.where(linear <= 0.0031308, low, high).astype(np.float32)
    return result


DECODE_8BIT: Floats = decode_srgb(np.linspace(0, 1, 256, dtype=np.float32))
"""`(256,)` linear light of each 8-bit value; fits `cv2.LUT`."""

LUMA_BGR: Floats = np.array([0.0722, 0.7152, 0.2126], np.float32)
"""Weights of luminance for linear BGR (ITU-R BT.709)."""


def luminance(rgb: Floats) -> float:
    """Relative luminance of one linear RGB colour."""
    return float(rgb @ LUMA_BGR[::-1])


def brightest_channel(picture: Floats) -> Floats:
    """`(h, w)` the largest of the three channels of `(h, w, 3)`; ten times `max(axis=2)`'s pace."""
    result: Floats = np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2])
    return result
