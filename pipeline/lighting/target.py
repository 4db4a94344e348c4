"""What a lighting goes through before a frame is given it: exposure, fill, warmth."""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.lighting.exposure import AMBIENT, exposure
from vcam_relight.pipeline.lighting.lights import NEUTRAL_K, temperature_rgb


@dataclass(frozen=True, slots=True)
class DifferenceParams:
    """When two lightings are two, as their distance relative to the source.

    In between a light change comes in bit by bit, so that asking for the source lighting changes
    nothing.
    """

    same: float = 0.05
    different: float = 0.35


_PARAMS = DifferenceParams()
_WARMEST_K, _COOLEST_K = 3000.0, 14000.0


def blend_ambient(sh: FloatArray, fill: float) -> FloatArray:
    """`(9, 3)` the lighting `(9, 3)`, a share `fill` (0..1) of it from all around instead."""
    ambient = AMBIENT * np.maximum(exposure(sh), 0.0)
    return np.asarray(sh + (ambient - sh) * np.float32(fill), np.float32)


def warmth_rgb(warmth: float) -> FloatArray:
    """`(3,)` tint of luminance 1 for a warmth of -1 (cool) to 1 (warm).

    Mireds run evenly from neutral to the coolest and to the warmest.
    """
    end = _WARMEST_K if warmth > 0 else _COOLEST_K
    mired = 1e6 / NEUTRAL_K + abs(warmth) * (1e6 / end - 1e6 / NEUTRAL_K)
    return temperature_rgb(1e6 / mired)


def lighting_difference(
    source: FloatArray, target: FloatArray, params: DifferenceParams = _PARAMS
) -> float:
    """0..1, how far two lightings `(9, 3)` count as different."""
    distance = float(np.linalg.norm(target - source)) / max(float(np.linalg.norm(source)), 1e-6)
    return float(smoothstep(params.same, params.different, distance))
