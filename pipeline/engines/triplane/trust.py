"""Where the network is trusted: on heads and pixels as in training.

Elsewhere it says something all the same, in any colour; there the light of bodies takes its place.
"""

from dataclasses import dataclass

import numpy as np
import torch

from vcam_relight.pipeline.core.color import LUMINANCE_RGB, luminance
from vcam_relight.pipeline.core.image import FloatArray, RgbGain
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.engines.triplane.network.model import Maps
from vcam_relight.pipeline.head.pose import Head
from vcam_relight.pipeline.lighting.exposure import exposure


@dataclass(frozen=True, slots=True)
class TrustParams:
    """Each pair: from where on the network is trusted less, and from where on not at all."""

    turned_away: tuple[float, float] = (45.0, 60.0)
    """Degrees that a head is turned from the camera. The light stage's people turn by 40; from the
    side the network throws violet and green about."""
    rolled: tuple[float, float] = (45.0, 60.0)
    """Degrees that a head lies in the image; the light stage's people sit."""
    person: tuple[float, float] = (0.3, 0.02)
    """The network's own person mask: what it takes for background it was never asked to shade."""


_PARAMS = TrustParams()


def pose_trust(head: Head, params: TrustParams = _PARAMS) -> float:
    """0..1, whether the network was trained on heads in this pose."""
    away = smoothstep(*params.turned_away[::-1], head.turned_away)
    return float(away * smoothstep(*params.rolled[::-1], head.roll))


def person_trust(maps: Maps, params: TrustParams = _PARAMS) -> FloatArray:
    """`(n, n, 1)` 0..1, whether the network takes a pixel for a person's."""
    mask = torch.sigmoid(maps.mask)[0, 0].numpy()[..., None]
    return smoothstep(*params.person[::-1], mask)


def without_color(gain: RgbGain, target: FloatArray) -> RgbGain:
    """A gain with its own luminance, but only the colour of the target lighting `(9, 3)`."""
    level = exposure(target)
    tint = level / max(luminance(level), 1e-6)
    return np.asarray((gain @ LUMINANCE_RGB)[..., None] * tint, np.float32)


def lighting_without_color(source: FloatArray) -> FloatArray:
    """A lighting `(9, 3)` with its luminance in all channels."""
    return np.repeat((source @ LUMINANCE_RGB)[:, None], 3, axis=1)


def blend(a: FloatArray, b: FloatArray, weight: float) -> FloatArray:
    """From `a` (0) to `b` (1)."""
    if weight == 1.0:
        return b
    return np.asarray(a + (b - a) * np.float32(weight), np.float32)
