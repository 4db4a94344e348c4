"""The target lighting as the paper's network takes it.

The network takes nine gray coefficients in the project's order and camera space, as large as DPR
(Zhou et al. 2019) estimates them from photographs, for that is what it was trained with. Colour,
brightness and warmth are applied to its image in linear light.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.color import LUMINANCE_RGB, decode_srgb, encode_srgb, luminance
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.lighting.adaptation import TargetLighting

EXPOSURE = 0.75
"""Exposure, as of `pipeline.lighting.exposure`, of what the network calls a normal light: 0.77 is
the mean of the lights of the paper's example image, 0.68 that of its example video."""

LightEstimator = Callable[[FrameContext], FloatArray | None]
"""A frame to `(9, 3)` RGB radiance of exposure 1, the lighting on its faces; None where it cannot
tell."""


@dataclass(frozen=True, slots=True, eq=False)
class NetworkLight:
    """A lighting as the network takes it, and what is left for its image."""

    sh: FloatArray
    """`(9,)` gray SH coefficients in the network's scale."""
    gain: FloatArray
    """`(3,)` RGB, of linear light."""

    @staticmethod
    def of(target: TargetLighting, gain: FloatArray | float) -> "NetworkLight":
        """Splits a target lighting, times `gain` `(3,)` RGB."""
        colour = target.sh[0] / luminance(target.sh[0]) * target.tint
        sh = target.sh @ LUMINANCE_RGB * np.float32(EXPOSURE)
        return NetworkLight(np.asarray(sh, np.float32), np.asarray(colour * gain, np.float32))


def apply_gain(image: FloatArray, gain: FloatArray) -> FloatArray:
    """`(h, w, 3)` sRGB-encoded RGB, 0..1, with its linear light multiplied by `gain` `(3,)`.

    What clips is cut off.
    """
    return encode_srgb(decode_srgb(np.clip(image, 0.0, 1.0)) * gain)
