"""The lighting that lifts a dark or back-lit face and has no shape of its own."""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.lights import Light, lights_to_sh


@dataclass(frozen=True, slots=True)
class AutoParams:
    """How the light that is added differs from the light that is there."""

    soft: float = 0.3
    """Share of the added light that comes from a soft front light; the rest comes from where light
    comes from already."""


_PARAMS = AutoParams()
_FRONT: FloatArray = lights_to_sh([Light(6.0, 20.0, (1.2, 1.2, 1.2), 0.8)], (0.5, 0.5, 0.5))


def auto_lighting(source: FloatArray, lift: float, params: AutoParams = _PARAMS) -> FloatArray:
    """`(9, 3)` RGB radiance of exposure 1: the source lighting with a soft light added to it.

    Args:
        source: `(9, 3)` RGB radiance of exposure 1.
        lift: how much brighter than the source lighting all of it is, 1 and up: with 1 nothing is
            added.
        params: what is added.
    """
    front = _FRONT / exposure(_FRONT)
    share = np.float32(params.soft * (1 - 1 / lift))
    return np.asarray(source + (front - source) * share, np.float32)
