"""sRGB to linear light and back (IEC 61966-2-1)."""

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray


def decode_srgb(encoded: FloatArray) -> FloatArray:
    """Linear light in 0..1 of encoded values in 0..1, any shape."""
    low = encoded / 12.92
    high = ((np.maximum(encoded, 0.0) + 0.055) / 1.055) ** 2.4
    result: FloatArray = np.where(encoded <= 0.04045, low, high).astype(np.float32)
    return result


def encode_srgb(linear: FloatArray) -> FloatArray:
    """Encoded values in 0..1 of linear light, any shape; what is outside 0..1 is clipped."""
    linear = np.clip(linear, 0.0, 1.0)
    low = linear * 12.92
    high = 1.055 * linear ** (1 / 2.4) - 0.055
    result: FloatArray = np.where(linear <= 0.0031308, low, high).astype(np.float32)
    return result


DECODE_8BIT: FloatArray = decode_srgb(np.linspace(0, 1, 256, dtype=np.float32))
"""`(256,)` linear light of each 8-bit value; fits `cv2.LUT`."""

LUMA_BGR: FloatArray = np.array([0.0722, 0.7152, 0.2126], np.float32)
"""Weights of luminance for linear BGR (ITU-R BT.709)."""


def luminance(rgb: FloatArray) -> float:
    """Relative luminance of one linear RGB colour."""
    return float(rgb @ LUMA_BGR[::-1])


def brightest_channel(image: FloatArray) -> FloatArray:
    """`(h, w)` the largest of the three channels of `(h, w, 3)`; ten times `max(axis=2)`'s pace."""
    result: FloatArray = np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])
    return result
