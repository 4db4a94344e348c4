"""How much light is added to a face, and how its colour is made white."""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.color import luminance
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.mathx import smoothstep


@dataclass(frozen=True, slots=True)
class LiftParams:
    """When a face counts as dark, and its light as coloured; natural logarithms.

    Below the first of a pair nothing is done, above the second all: what is estimated is off by 0.2
    (level) and 0.1 (colour), and a face in good light is to stay as it is.
    """

    dark: tuple[float, float] = (0.4, 0.75)
    coloured: tuple[float, float] = (0.15, 0.35)
    most: float = 2.6
    """No face is lifted by more (x 13)."""


_PARAMS = LiftParams()


@dataclass(frozen=True, slots=True, eq=False)
class Lift:
    """What takes the faces of a frame to good exposure under white light."""

    rgb: FloatArray
    """`(3,)` factor of linear light; 1 in a good light."""
    coloured: float
    """0..1, whether the light that is there has a colour of its own."""

    @staticmethod
    def of(log_rgb: FloatArray, params: LiftParams = _PARAMS) -> "Lift":
        """Of the natural logarithm of `rgb`."""
        cast = float(np.abs(log_rgb - log_rgb.mean()).max())
        rgb = np.asarray(np.exp(log_rgb), np.float32)
        return Lift(rgb, float(smoothstep(0.0, params.coloured[1], cast)))


NO_LIFT = Lift(np.ones(3, np.float32), 0.0)


def log_lift(
    log_gain: FloatArray, skin: FloatArray, color: float = 1.0, params: LiftParams = _PARAMS
) -> FloatArray:
    """Natural logarithm of what the linear light of a face is multiplied by.

    Args:
        log_gain: `(3,)` RGB natural logarithm of what would take the skin to good exposure under
            white light, as estimated.
        skin: `(3,)` RGB mean linear light of the skin.
        color: 0..1, how far the skin's colour tells the light's.
        params: when it is believed.

    Returns:
        `(3,)` RGB; it never makes the skin's luminance smaller.
    """
    before = max(luminance(skin), 1e-6)
    level = float(np.log(luminance(skin * np.exp(log_gain)) / before))
    cast = log_gain - np.float32(level)
    level = min(max(level, 0.0), params.most) * float(smoothstep(*params.dark, level))
    cast = cast * smoothstep(*params.coloured, float(np.abs(cast).max())) * np.float32(color)
    # A colour alone makes nothing brighter or darker.
    kept = np.log(luminance(skin * np.exp(cast)) / before)
    return np.asarray(cast + np.float32(level - kept), np.float32)
