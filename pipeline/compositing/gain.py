"""Gains of linear light that are safe to show."""

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import brightest_channel
from vcam_relight.pipeline.core.image import FloatArray

_LIMIT = 2.2
"""Natural logarithm that no gain of linear light reaches (x 9): beyond, noise is what is lifted."""
_LEAST_ROOM = 0.02
"""Linear light left to those that are white already, so that nothing is divided by 0."""


def bounded(log_gain: FloatArray) -> FloatArray:
    """Gains below 9 whose natural logarithm is given, any shape. Up to 4 they are nearly as given
    (what bends sooner takes the modelling out of strong lights: 0.6 dB on rendered truth); those
    that darken are exactly so, as lights have a floor of their own.
    """
    lift = np.maximum(log_gain, 0) * np.float32(1 / _LIMIT)
    square = lift * lift
    bent = log_gain / np.sqrt(np.sqrt(1 + square * square))
    return np.asarray(cv2.exp(bent), np.float32).reshape(log_gain.shape)


def rolled_off(gain: FloatArray, linear: FloatArray) -> FloatArray:
    """Gains that brighten are bent so that the brightest channel nears 1 and never passes it; all
    channels are held back alike, so that hue stays. A gain of 1 changes nothing.

    Args:
        gain: `(h, w, 3)`.
        linear: `(h, w, 3)` the linear light that it is for, same order of channels.
    """
    before, after = brightest_channel(linear), brightest_channel(linear * gain)
    room = np.maximum(1 - before, np.float32(_LEAST_ROOM))
    bent = before + room * (1 - np.exp(-np.maximum(after - before, 0) / room))
    hold = np.where(after > before, bent / np.maximum(after, 1e-4), 1.0)
    return np.asarray(gain * hold[..., None], np.float32)
