"""sRGB and linear light (IEC 61966-2-1), luminance; `color_torch` is the same in torch."""

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray, LinearRgb

SRGB_LINEAR_SLOPE = 12.92
SRGB_LINEAR_END = 0.04045
"""Encoded value up to which sRGB's curve is a straight line..."""
SRGB_LINEAR_END_LIGHT = 0.0031308
"""...and the linear light there."""
SRGB_OFFSET = 0.055
SRGB_GAMMA = 2.4


def decode_srgb(encoded: FloatArray) -> FloatArray:
    """Linear light in 0..1 of encoded values in 0..1, any shape."""
    low = encoded / SRGB_LINEAR_SLOPE
    high = ((np.maximum(encoded, 0.0) + SRGB_OFFSET) / (1 + SRGB_OFFSET)) ** SRGB_GAMMA
    result: FloatArray = np.where(encoded <= SRGB_LINEAR_END, low, high).astype(np.float32)
    return result


def encode_srgb(linear: FloatArray) -> FloatArray:
    """Encoded values in 0..1 of linear light, any shape; what is outside 0..1 is clipped."""
    linear = np.clip(linear, 0.0, 1.0)
    low = linear * SRGB_LINEAR_SLOPE
    high = (1 + SRGB_OFFSET) * linear ** (1 / SRGB_GAMMA) - SRGB_OFFSET
    result: FloatArray = np.where(linear <= SRGB_LINEAR_END_LIGHT, low, high).astype(np.float32)
    return result


DECODE_8BIT: FloatArray = decode_srgb(np.linspace(0, 1, 256, dtype=np.float32))
"""`(256,)` linear light of each 8-bit value; fits `cv2.LUT`."""

LUMINANCE_RGB: FloatArray = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of luminance for linear RGB (ITU-R BT.709)."""


def linear_rgb(image: BgrImage) -> LinearRgb:
    """Linear light of a frame."""
    return np.asarray(cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), DECODE_8BIT), np.float32)


def luminance(rgb: FloatArray) -> float:
    """Relative luminance of one linear RGB colour."""
    return float(rgb @ LUMINANCE_RGB)


def brightest_channel(image: FloatArray) -> FloatArray:
    """`(h, w)` the largest of the three channels of `(h, w, 3)`; ten times `max(axis=2)`'s pace."""
    result: FloatArray = np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])
    return result
