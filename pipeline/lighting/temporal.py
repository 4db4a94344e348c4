"""Smoothing of what is measured from frame to frame."""

import math
from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray


@dataclass(frozen=True, slots=True)
class SmoothingParams:
    """How a lighting is followed."""

    time_constant_s: float = 0.6
    """Lamps and clouds change slower; steps of a camera's exposure ease in."""
    dead_band: float = 2e-3
    """Changes smaller than this are not followed: a still image comes to rest."""


_PARAMS = SmoothingParams()


def smooth(
    last: FloatArray | None, observed: FloatArray, dt: float, params: SmoothingParams = _PARAMS
) -> FloatArray:
    """Exponential smoothing with a dead band.

    Args:
        last: the smoothed value of any shape; None: there is none yet.
        observed: the new value.
        dt: seconds since `last`.
        params: how quickly it is followed.

    Returns:
        The smoothed value now.
    """
    if last is None:
        return observed
    step = observed - last
    if float(np.abs(step).max()) < params.dead_band:
        return last
    alpha = 1 - math.exp(-max(dt, 0.0) / params.time_constant_s)
    return np.asarray(last + step * np.float32(alpha), np.float32)


class SmoothedValue:
    """A value that is followed along a stream, and holds while it is not observed."""

    def __init__(self, params: SmoothingParams = _PARAMS) -> None:
        self._params = params
        self._time = 0.0
        self.value: FloatArray | None = None
        """None before the first observation."""

    def update(self, observed: FloatArray | None, time: float) -> FloatArray | None:
        """The value at a media time in seconds; `observed` is None where nothing tells it."""
        dt, self._time = time - self._time, time
        if observed is not None:
            self.value = smooth(self.value, observed, dt, self._params)
        return self.value

    def reset(self) -> None:
        """Forgets what was observed."""
        self.value = None
