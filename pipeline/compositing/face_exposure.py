"""The one factor that brings a face to the luminance that is asked for.

Shading under another light says where a face is brighter and where darker; how bright it is in all
is off by what the shading is off. The frame itself tells, as a camera's exposure control would.
"""

import math
from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.compositing.gain import highlight_rolloff
from vcam_relight.pipeline.core.color import LUMINANCE_RGB
from vcam_relight.pipeline.core.image import FloatArray, LinearRgb, Map, RgbGain
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.temporal import SmoothedValue, SmoothingParams


@dataclass(frozen=True, slots=True)
class ExposureParams:
    """How the factor is found."""

    least: float = 0.5
    most: float = 2.0
    """Bounds of the factor: a light from behind leaves a face dark, and may."""
    bright: float = 0.45
    """Mean luminance of skin that is bright enough: no intensity drives a face into white."""
    rounds: int = 3
    """What nears white is rolled off, so that the factor must be looked for."""
    settle_s: float = 0.4
    """After a change or a pause it is followed at once for so long: cast shadows come a few
    frames after a light."""
    least_skin: float = 40.0
    """Pixels below which a face tells nothing."""
    time_constant_s: float = 2.5
    """Over which the factor is followed: face and light move, and no face is to pump."""
    dead_band: float = 0.02
    """Of its natural logarithm: a still image comes to rest."""


_PARAMS = ExposureParams()


@dataclass(frozen=True, slots=True)
class FaceGain:
    """The gain of a face's skin, before lift and roll-off."""

    gain: RgbGain
    """`(n, 3)` under a light of exposure 1."""
    linear: LinearRgb
    """`(n, 3)` the light that is multiplied."""
    weight: FloatArray
    """`(n,)` above 0, how much of a pixel is skin."""

    @staticmethod
    def of(gain: RgbGain, linear: LinearRgb, skin: Map) -> "FaceGain":
        """Of maps `(h, w, 3)`, `(h, w, 3)` and `(h, w)` 0..1."""
        where = skin > 0
        return FaceGain(gain[where], linear[where], skin[where])

    def lit(self, factor: FloatArray) -> LinearRgb:
        """`(n, 3)` the skin with its gain times `factor` `(3,)`, rolled off."""
        gain = highlight_rolloff((self.gain * factor)[None], self.linear[None])[0]
        return np.asarray(self.linear * gain, np.float32)

    def mean(self, linear: LinearRgb) -> float:
        """Mean luminance of `(n, 3)`."""
        return float(self.weight @ (linear @ LUMINANCE_RGB) / self.weight.sum())


class FaceExposure:
    """The factor of one stream; it holds while no skin tells it."""

    def __init__(self, params: ExposureParams = _PARAMS) -> None:
        self._params = params
        self._factor = 1.0
        self._held = SmoothedValue(SmoothingParams(params.time_constant_s, params.dead_band))
        self._asked: tuple[float, Lighting] | None = None
        self._since = self._last = 0.0
        """Media times from which what is asked is the same, and of the last frame."""

    def factor(
        self, face: FaceGain, lift: FloatArray, level: float, asked: Lighting, time: float
    ) -> FloatArray:
        """`(3,)` RGB that the gain is to be multiplied by.

        Args:
            face: its skin.
            lift: `(3,)` RGB what takes the face to good exposure.
            level: luminance that it is to come out with, over that of a well exposed one.
            asked: the lighting that the gain is made for: while it is the same the factor is
                followed slowly; what is new is shown at once.
            time: media time of the frame in seconds.
        """
        if self._asked is None or self._asked[0] != level or not self._asked[1].equals(asked):
            self._asked, self._since = (level, asked), time
        paused = not 0 <= time - self._last < self._params.settle_s
        self._last = time
        if paused or time - self._since < self._params.settle_s:
            self._held.reset()
        whole = lift * np.float32(level)
        if float(face.weight.sum()) >= self._params.least_skin:
            self._factor = self._found(face, whole, time)
        return np.asarray(whole * np.float32(self._factor), np.float32)

    def reset(self) -> None:
        """Forgets the frames before."""
        self._factor, self._asked = 1.0, None
        self._held.reset()

    def _found(self, face: FaceGain, whole: FloatArray, time: float) -> float:
        params = self._params
        wanted = face.mean(face.linear * whole)
        wanted = min(wanted, max(face.mean(face.linear), params.bright))
        factor = 1.0
        for _ in range(params.rounds):
            factor *= wanted / max(face.mean(face.lit(whole * np.float32(factor))), 1e-6)
            factor = min(max(factor, params.least), params.most)
        held = self._held.update(np.array([math.log(factor)], np.float32), time)
        return factor if held is None else math.exp(float(held[0]))
