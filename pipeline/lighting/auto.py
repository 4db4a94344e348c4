"""The lighting that lifts a dark or back-lit face and evens out what is there."""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.color import LUMINANCE_RGB
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.lights import Light, lights_to_sh


@dataclass(frozen=True, slots=True)
class AutoParams:
    """What `auto` does to a face."""

    directed: float = 0.45
    """Share kept of the source lighting's directions."""
    well_exposed: float = 0.55
    """Linear light that the brightest hundredth of a well exposed image reaches."""
    exposure_power: float = 0.6
    """How far a darker image is lifted towards that: 1 is all the way."""
    backlit: float = 5.0
    """A background this many times brighter than the face is back light. Dark skin before a white
    wall reaches 8, so that lifting starts late and is partial: skin must not be taken for a dark
    image."""
    backlit_power: float = 0.45
    """How far a back-lit face is lifted."""
    most: float = 2.2
    """No face is lifted by more."""
    outside: float = 0.2
    """Mask values below this are background."""


_PARAMS = AutoParams()
_FRONT: FloatArray = lights_to_sh([Light(6.0, 20.0, (1.2, 1.2, 1.2), 0.8)], (0.5, 0.5, 0.5))


def auto_lighting(source: FloatArray, params: AutoParams = _PARAMS) -> FloatArray:
    """`(9, 3)` RGB radiance of exposure 1: a soft front light and half of the source lighting.

    Args:
        source: `(9, 3)` RGB radiance of exposure 1.
        params: how much of it is kept.
    """
    front = _FRONT / exposure(_FRONT)
    return np.asarray(front + (source - front) * np.float32(params.directed), np.float32)


def auto_lift(context: FrameContext, params: AutoParams = _PARAMS) -> float:
    """How much brighter than now the faces of a frame should be lit, 1 to `params.most`."""
    luminance = context.linear @ LUMINANCE_RGB
    bright = float(np.percentile(luminance, 99))
    lift = 1.0
    if bright < params.well_exposed:
        lift = (params.well_exposed / max(bright, 0.02)) ** params.exposure_power
    background = context.mask < params.outside
    if context.skins and background.any():
        skin = np.sum(context.skins, axis=0) > 0
        if skin.any():
            around, face = float(luminance[background].mean()), float(np.median(luminance[skin]))
            contrast = around / max(face, 0.01)
            if contrast > params.backlit:
                lift *= (contrast / params.backlit) ** params.backlit_power
    return min(max(lift, 1.0), params.most)
