"""The gain of everything but people."""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.color import LUMINANCE_RGB, luminance
from vcam_relight.pipeline.core.image import FloatArray, LinearRgb, Map
from vcam_relight.pipeline.lighting.sh import irradiance
from vcam_relight.pipeline.lighting.shading import shading_floor


@dataclass(frozen=True, slots=True)
class BackgroundParams:
    """How far a background follows the light."""

    least_gain: float = 0.2
    most_gain: float = 3.0
    """Walls get less of a light than the person that it is aimed at."""
    outside: float = 0.2
    """Mask values below this are the room."""
    least_change: float = 0.02
    """Gains nearer to 1 than this are not worth the work on the whole frame."""
    spill: float = 0.55
    """Share (of logarithms) of a lift that the room gets too, whatever is asked: a lamp that lights
    a face lights the wall a little, and a lit face before a black room looks pasted in..."""
    bright: float = 0.3
    """...but not beyond this linear light of its brighter half: what is bright needs no lamp."""
    step: int = 2
    """Every so many pixels are looked at to tell it."""


_PARAMS = BackgroundParams()
_NO_LIFT: FloatArray = np.ones(3, np.float32)
_FACING_CAMERA: FloatArray = np.array([0, 0, 1], np.float32)


def wall_gain(
    source: FloatArray,
    target: FloatArray,
    lift: FloatArray,
    linear: LinearRgb,
    mask: Map,
    amount: float,
    params: BackgroundParams = _PARAMS,
) -> FloatArray | None:
    """`(3,)` RGB: the gain of a wall behind the people that faces the camera; None for none.

    Args:
        source: `(9, 3)` radiance of the light that is there.
        target: `(9, 3)` radiance of the light that is to be there, before the lift.
        lift: `(3,)` RGB how much more of it there is to be, as the room is dark.
        linear: `(h, w, 3)` the frame.
        mask: `(h, w)` 0..1, the people's.
        amount: 0..1, how much the background follows.
        params: within which bounds.
    """
    room = _room_lift(lift, linear, mask, amount, params)
    if amount == 0.0 and np.allclose(room, 1.0, atol=params.least_change):
        return None
    before, after = (
        np.maximum(irradiance(sh, _FACING_CAMERA), 0) + shading_floor(sh) for sh in (source, target)
    )
    ratio = np.clip(after / before, params.least_gain, params.most_gain)
    return np.asarray(ratio ** np.float32(amount) * room, np.float32)


def _room_lift(
    lift: FloatArray, linear: LinearRgb, mask: Map, amount: float, params: BackgroundParams
) -> FloatArray:
    """`(3,)` RGB what the room is lifted by."""
    if np.array_equal(lift, _NO_LIFT):
        return _NO_LIFT
    some = np.s_[:: params.step, :: params.step]
    room = np.ascontiguousarray(linear[some])[mask[some] < params.outside]
    if not len(room):
        return _NO_LIFT
    light = max(float(np.percentile(room @ LUMINANCE_RGB, 75)), 1e-4)
    share = max(params.spill, amount)
    wanted = max(luminance(lift), 1.0) ** share
    level = min(wanted, max(params.bright / light, 1.0))
    spilt = np.log(level) / max(np.log(wanted), 1e-6) * share if wanted > 1 else 0.0
    return np.asarray(np.maximum(lift, 1e-3) ** np.float32(spilt), np.float32)
