"""The light of a screen that shows moving pictures, added to a render."""

import math

import numpy as np

from pipeline.lighting.light import direction
from pipeline.lighting.sh import basis, irradiance
from pipeline.types import Floats

_SHARPNESS = 6.0
"""Of the lobe (von Mises-Fisher): a 27-inch screen at arm's length is about 45 degrees wide."""
_CUT_FRAMES = 40


class ScreenLight:
    """A screen in front of the person; its colour changes smoothly and at cuts.

    The light is Lambertian and casts no shadow: a screen is wide and close to the camera, so its
    shadows fall where the camera hardly sees them.
    """

    def __init__(self, rng: np.random.Generator, strength: float = 1.0) -> None:
        """
        Args:
            rng: the only source of chance.
            strength: 0..1, of irradiance up to 0.6 pi on a surface that faces the screen.
        """
        self._seed = int(rng.integers(2**31))
        self._direction = direction(float(rng.normal(0, 18)), float(rng.uniform(-25, 10)))
        self._power = strength * 0.6 * math.pi * float(rng.random()) ** 2
        self._saturation = float(rng.random())
        self._lively = bool(rng.random() < 0.5)

    def sh(self, index: int) -> Floats:
        """`(9, 3)` radiance coefficients at that frame, to be added to those of the render."""
        # bands of a von Mises-Fisher lobe: coth k - 1/k, and 1 - 3/k times it
        first = 1 / math.tanh(_SHARPNESS) - 1 / _SHARPNESS
        second = 1 - 3 * first / _SHARPNESS
        bands = np.array([1.0] + [first] * 3 + [second] * 5, np.float32)
        lobe = basis(self._direction) * bands
        result: Floats = (lobe[:, None] * self._colour(index) * self._power).astype(np.float32)
        return result

    def light(self, index: int, albedo: Floats, normals: Floats) -> Floats:
        """What to add to a render.

        Args:
            index: frame.
            albedo: `(H, W, 3)` linear RGB, premultiplied as the render is.
            normals: `(H, W, 3)` unit vectors in world space, 0 where there is nothing.

        Returns:
            `(H, W, 3)` linear RGB, premultiplied.
        """
        received = np.maximum(irradiance(self.sh(index), normals), 0)
        result: Floats = albedo * received * np.float32(1 / math.pi)
        return result

    def _colour(self, index: int) -> Floats:
        shot = index // _CUT_FRAMES if self._lively else 0
        rng = np.random.default_rng((self._seed, shot))
        vivid = rng.random(3).astype(np.float32) * np.float32(1.6)
        cool = np.array([0.8, 1.0, 1.35], np.float32)
        colour = cool + np.float32(self._saturation) * (vivid - cool)
        level = 1 + 0.15 * math.sin(index * 0.21 + self._seed % 5) if self._lively else 1.0
        result: Floats = (colour * np.float32(level)).astype(np.float32)
        return result
