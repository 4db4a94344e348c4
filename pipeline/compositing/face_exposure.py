"""The one factor that brings a face to the luminance that is asked for.

Shading under another light says where a face is brighter and where darker; how bright it is in all
is off by what the shading is off. The frame itself tells, as a camera's exposure control would.
"""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.compositing.gain import highlight_rolloff
from vcam_relight.pipeline.core.color import LUMINANCE_RGB
from vcam_relight.pipeline.core.image import FloatArray, LinearRgb, Map, RgbGain


@dataclass(frozen=True, slots=True)
class ExposureParams:
    """How the factor is found."""

    least: float = 0.5
    most: float = 2.0
    """Bounds of the factor: a light from behind leaves a face dark, and may."""
    rounds: int = 3
    """What nears white is rolled off, so that the factor must be looked for."""
    least_skin: float = 40.0
    """Pixels below which a face tells nothing."""


_PARAMS = ExposureParams()


def exposure_factor(
    gain: RgbGain,
    linear: LinearRgb,
    skin: Map,
    wanted: float,
    params: ExposureParams = _PARAMS,
) -> float | None:
    """What a gain must be multiplied by so that skin's mean luminance grows by `wanted`.

    Args:
        gain: before highlights are rolled off.
        linear: the light that is multiplied.
        skin: 0..1, where skin is.
        wanted: mean luminance of the skin out over in.
        params: how it is found.

    Returns:
        The factor; None where too little skin is seen.
    """
    weight = float(skin.sum())
    if weight < params.least_skin:
        return None
    where = skin > 0
    light, factors, weights = linear[where][None], gain[where][None], skin[where]
    before = max(float(weights @ (light[0] @ LUMINANCE_RGB)), 1e-6)
    factor = 1.0
    for _ in range(params.rounds):
        out = light * highlight_rolloff(factors * np.float32(factor), light)
        reached = float(weights @ (out[0] @ LUMINANCE_RGB)) / before
        factor = min(max(factor * wanted / max(reached, 1e-6), params.least), params.most)
    return factor


def luminance_ratio(before: LinearRgb, after: LinearRgb, skin: Map) -> float:
    """Luminance of the skin after over before; 1 where there is none."""
    low, high = (float((light @ LUMINANCE_RGB * skin).sum()) for light in (before, after))
    return high / low if low > 0 else 1.0


class FaceExposure:
    """The factor of one stream; it holds while no skin tells it."""

    def __init__(self) -> None:
        self._factor = 1.0

    def factor(
        self,
        gain: RgbGain,
        linear: LinearRgb,
        skin: Map,
        lift: FloatArray,
        exposure: float | None,
        intensity: float,
    ) -> FloatArray:
        """`(3,)` RGB that `gain` is to be multiplied by.

        Args:
            gain: `(h, w, 3)` of a face under a light of exposure 1, before lift and roll-off.
            linear: `(h, w, 3)` the light that is multiplied.
            skin: `(h, w)` 0..1, where skin is.
            lift: `(3,)` RGB what takes the face to good exposure.
            exposure: luminance that the face is to come out with, over that of a well exposed one;
                None: whatever the gain makes of it.
            intensity: times this.
        """
        if exposure is None:
            self.reset()
            return np.asarray(lift * np.float32(intensity), np.float32)
        level = exposure * intensity
        wanted = level * luminance_ratio(linear, linear * lift, skin)
        found = exposure_factor(gain * (lift * np.float32(level)), linear, skin, wanted)
        if found is not None:
            self._factor = found
        return np.asarray(lift * np.float32(level * self._factor), np.float32)

    def reset(self) -> None:
        """Forgets the frames before."""
        self._factor = 1.0
