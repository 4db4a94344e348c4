"""The lighting that an engine is asked for."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Lighting:
    """A distant lighting, or one of two wishes that only an engine can fulfil.

    Only the light's shape and colour count: engines scale it so that a face gets as much of it as
    of the source lighting, as a camera's exposure would, and leave brightness to
    `RelightSettings.intensity`.
    """

    mode: Literal["sh", "auto", "off"]
    """`sh`: the coefficients below; `auto`: whatever lifts this face out of the dark; `off`: the
    light that is there."""
    sh: FloatArray
    """`(9, 3)` RGB radiance, linear light, in the order and frame of `pipeline.lighting.sh`."""
    exposure: float | None = None
    """Luminance that a face is to come out with, over that of a well exposed face; None: whatever
    the light makes of it."""

    @staticmethod
    def from_sh(sh: FloatArray, exposure: float | None = None) -> "Lighting":
        """A lighting of `(9, 3)` RGB radiance coefficients, and an `exposure`.

        Raises:
            ValueError: wrong shape, not finite, or no light at all.
        """
        sh = np.asarray(sh, np.float32)
        if sh.shape != (9, 3):
            raise ValueError(f"a lighting has 9 x 3 SH coefficients, not {sh.shape}")
        if not np.isfinite(sh).all():
            raise ValueError("a lighting's SH coefficients must be finite numbers")
        if (sh[0] < 0).any() or not (sh[0] > 0).any():
            raise ValueError("the first SH coefficients (the mean light) must be above 0")
        return Lighting("sh", sh, exposure)


OFF = Lighting("off", np.zeros((9, 3), np.float32))
AUTO = Lighting("auto", np.zeros((9, 3), np.float32), 1.0)
