"""How much of a light a face gets, whatever its pose: the scale that lights are compared in."""

import numpy as np

from vcam_relight.pipeline.core.color import luminance
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.sh import LAMBERT, MEAN, basis


def _front_mean() -> FloatArray:
    steps = 48
    u = (np.arange(steps) + 0.5) / steps
    z, phi = np.meshgrid(np.sqrt(u), u * 2 * np.pi)  # even in z^2: cosine-weighted
    r = np.sqrt(1 - z * z)
    normals = np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=-1).reshape(-1, 3)
    result: FloatArray = (basis(normals.astype(np.float32)) * LAMBERT).mean(axis=0)
    return result


FRONT_MEAN: FloatArray = _front_mean()
"""`(9,)` mean irradiance per coefficient over normals that a face shows: the half towards the
camera, weighted by how much of it is seen."""


def exposure(sh: FloatArray) -> FloatArray:
    """`(3,)` RGB irradiance that lighting `(9, 3)` gives a face on average, whatever its pose."""
    result: FloatArray = FRONT_MEAN @ sh
    return result


def exposure_level(sh: FloatArray, least: float = 0.2) -> float:
    """Luminance of the exposure of a lighting `(9, 3)`, to scale it by.

    Args:
        sh: radiance.
        least: share of its mean irradiance that is the lowest level: light from behind, which gives
            a face none, must not be raised without bounds.
    """
    return max(luminance(exposure(sh)), least * MEAN * luminance(sh[0]))


AMBIENT: FloatArray = np.zeros((9, 3), np.float32)
"""`(9, 3)` even light of exposure 1."""
AMBIENT[0] = 1.0 / FRONT_MEAN[0]
