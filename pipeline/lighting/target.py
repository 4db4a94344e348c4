"""The light that a frame is to have: what was asked for, at the exposure that a face has, with the
user's controls.
"""

import numpy as np

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.exposure import AMBIENT, exposure, exposure_level
from vcam_relight.pipeline.lighting.lights import NEUTRAL_K, temperature_rgb

_WARMEST, _COOLEST = 3000.0, 14000.0


def levelled(sh: FloatArray) -> FloatArray:
    """`(9, 3)` the lighting `(9, 3)`, scaled to give a face exposure 1. Light from behind, which
    gives it none, is not raised without bounds: the face is then darker.
    """
    return sh / exposure_level(sh)


def filled(target: FloatArray, fill: float) -> FloatArray:
    """`(9, 3)` the lighting with a share `fill` of it coming from all around instead."""
    even = AMBIENT * np.maximum(exposure(target), 0.0)
    return np.asarray(target + (even - target) * np.float32(fill), np.float32)


def warmth_rgb(warmth: float) -> FloatArray:
    """`(3,)` tint of luminance 1: mireds run evenly from neutral to the coolest and the warmest."""
    end = _WARMEST if warmth > 0 else _COOLEST
    mired = 1e6 / NEUTRAL_K + abs(warmth) * (1e6 / end - 1e6 / NEUTRAL_K)
    return temperature_rgb(1e6 / mired)


def adjusted(target: FloatArray, settings: RelightSettings) -> FloatArray:
    """`(9, 3)` the lighting with the user's fill and warmth."""
    lit = filled(target, settings.fill)
    return np.asarray(lit * warmth_rgb(settings.warmth), np.float32)
