"""One-Euro filter: steady when still, quick when moving (Casiez, Roussel and Vogel 2012)."""

import math

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray


class OneEuroFilter:
    """Filters an array of numbers, element by element."""

    def __init__(self, min_cutoff: float, beta: float, rest: float) -> None:
        """Takes how quickly the input is followed.

        Args:
            min_cutoff: cutoff in Hz when nothing moves.
            beta: Hz of cutoff per unit per second of speed.
            rest: closer than this to its input the output stays: a still input then gives a still
                output after finite time.
        """
        self._min_cutoff = min_cutoff
        self._beta = beta
        self._rest = rest
        self._value: FloatArray | None = None
        self._speed: FloatArray | None = None

    def reset(self) -> None:
        """The next value is taken as it is."""
        self._value = self._speed = None

    def update(self, value: FloatArray, dt: float, unit: float) -> FloatArray:
        """The filtered value.

        Args:
            value: any shape, the same each time.
            dt: seconds since the last call.
            unit: the size by which speed and rest are measured (a face's width in pixels).
        """
        if self._value is None or self._speed is None:
            self._value, self._speed = value, np.zeros_like(value)
            return value
        if dt <= 0:
            return self._value
        speed = (value - self._value) / dt
        self._speed = self._speed + _share(1.0, dt) * (speed - self._speed)
        cutoff = np.asarray(self._min_cutoff + self._beta * np.abs(self._speed) / unit, np.float32)
        step = value - self._value
        moved = self._value + _share(cutoff, dt) * step
        near = np.abs(step) < self._rest * unit
        self._value = np.where(near, self._value, moved).astype(np.float32)
        return self._value


def _share(cutoff: FloatArray | float, dt: float) -> FloatArray | float:
    r = 2 * math.pi * cutoff * dt
    return r / (r + 1)
