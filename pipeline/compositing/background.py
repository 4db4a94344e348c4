"""The gain of everything but people."""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.compositing.gain import highlight_rolloff
from vcam_relight.pipeline.core.image import FloatArray, LinearRgb, RgbGain
from vcam_relight.pipeline.lighting.sh import irradiance
from vcam_relight.pipeline.lighting.shading import shading_floor


@dataclass(frozen=True, slots=True)
class BackgroundParams:
    """How far a background follows the light."""

    least_gain: float = 0.2
    most_gain: float = 3.0
    """Walls get less of a light than the person that it is aimed at."""


_PARAMS = BackgroundParams()
_FACING_CAMERA: FloatArray = np.array([0, 0, 1], np.float32)


def background_gain(
    source: FloatArray,
    target: FloatArray,
    linear: LinearRgb,
    amount: float,
    params: BackgroundParams = _PARAMS,
) -> RgbGain | None:
    """The gain of a wall behind the people that faces the camera; None for none.

    Args:
        source: `(9, 3)` radiance of the light that is there.
        target: `(9, 3)` radiance of the light that is to be there.
        linear: `(h, w, 3)` the frame, which gains are rolled off for.
        amount: 0..1, how much the background follows.
        params: within which bounds.
    """
    if amount == 0.0:
        return None
    before, after = (
        np.maximum(irradiance(sh, _FACING_CAMERA), 0) + shading_floor(sh) for sh in (source, target)
    )
    ratio = np.clip(after / before, params.least_gain, params.most_gain)
    wall = ratio ** np.float32(amount)
    return highlight_rolloff(np.broadcast_to(wall, linear.shape).astype(np.float32), linear)
