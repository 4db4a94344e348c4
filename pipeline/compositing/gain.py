"""Gains of linear light that are safe to show."""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import brightest_channel
from vcam_relight.pipeline.core.image import FloatArray, LinearRgb, RgbGain


@dataclass(frozen=True, slots=True)
class GainParams:
    """How gains are bent."""

    log_limit: float = 2.2
    """Natural logarithm that no gain of linear light reaches (x 9): beyond, noise is lifted."""
    least_headroom: float = 0.02
    """Linear light left to pixels that are white already, so that nothing is divided by 0."""


_PARAMS = GainParams()


def soft_limit(log_gain: FloatArray, params: GainParams = _PARAMS) -> FloatArray:
    """Gains below 9 whose natural logarithm is given, any shape.

    Up to 4 they are nearly as given (what bends sooner takes the modelling out of strong lights:
    0.6 dB on rendered ground truth); those that darken are exactly so, as lights have their own
    floor.
    """
    lift = np.maximum(log_gain, 0) * np.float32(1 / params.log_limit)
    square = lift * lift
    bent = log_gain / np.sqrt(np.sqrt(1 + square * square))
    return np.asarray(cv2.exp(bent), np.float32).reshape(log_gain.shape)


def highlight_rolloff(gain: RgbGain, linear: LinearRgb, params: GainParams = _PARAMS) -> RgbGain:
    """Gains that brighten, bent so that the brightest channel nears 1 and never passes it.

    All channels are held back alike, so that hue stays. A gain of 1 changes nothing.

    Args:
        gain: of `linear`, which has the same size.
        linear: the light that is multiplied.
        params: how they are bent.
    """
    before, after = brightest_channel(linear), brightest_channel(linear * gain)
    room = np.maximum(1 - before, np.float32(params.least_headroom))
    bent = before + room * (1 - np.exp(-np.maximum(after - before, 0) / room))
    hold = np.where(after > before, bent / np.maximum(after, 1e-4), 1.0)
    return np.asarray(gain * hold[..., None], np.float32)
