"""The light that lifts a dark or back-lit face and evens out what is there."""

import numpy as np

from vcam_relight.pipeline.core.color import LUMINANCE_RGB
from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.lights import Light, lights_to_sh

_EVEN = 0.45
"""Share kept of the present light's directions."""
_FRONT: FloatArray = lights_to_sh([Light(6.0, 20.0, (1.2, 1.2, 1.2), 0.8)], (0.5, 0.5, 0.5))
_WHITE = 0.55
"""Linear light that the brightest hundredth of a well exposed picture reaches."""
_BACKLIT = 5.0
"""A background this many times brighter than the face is back light. Dark skin before a white wall
reaches 8, so that lifting starts late and is partial: skin must not be taken for a dark picture."""
_MOST = 2.2


def auto_target(present: FloatArray) -> FloatArray:
    """`(9, 3)` RGB radiance of exposure 1: a soft front light and half of the present light."""
    front = _FRONT / exposure(_FRONT)
    return np.asarray(front + (present - front) * np.float32(_EVEN), np.float32)


def auto_gain(linear: FloatArray, mask: Map, skins: list[Map]) -> float:
    """How much brighter than now the faces should be lit, 1 to 2.2.

    Args:
        linear: `(h, w, 3)` linear RGB.
        mask: `(h, w)` the persons' share.
        skins: `(h, w)` skin of each face.
    """
    luminance = linear @ LUMINANCE_RGB
    bright = float(np.percentile(luminance, 99))
    gain = (_WHITE / max(bright, 0.02)) ** 0.6 if bright < _WHITE else 1.0
    skin = np.sum(skins, axis=0) > 0 if skins else np.zeros_like(mask, bool)
    behind = mask < 0.2
    if skin.any() and behind.any():
        contrast = float(luminance[behind].mean()) / max(float(np.median(luminance[skin])), 0.01)
        if contrast > _BACKLIT:
            gain *= (contrast / _BACKLIT) ** 0.45
    return min(max(gain, 1.0), _MOST)
