"""Where the light on a person comes from, estimated from the image."""

import math

import numpy as np

from vcam_relight.pipeline.core.color import linear_rgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.evaluate.metrics import Mask
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.head.normals import NormalMapper
from vcam_relight.pipeline.lighting.estimation import estimate_lighting
from vcam_relight.pipeline.lighting.sh import LAMBERT, basis, dominant_direction

_DIRECTED = 0.25
"""Length of band 1 over coefficient 0 below which a lighting has no direction worth an angle; a
point light has 1.73."""
_BEHIND = -0.5
"""Cosine to the camera's direction below which a light shows on a few edges only: with it, the
rendered ground truth itself is read 57 degrees off.
"""
_RIDGE = 0.01
"""How strongly the fit's coefficients are held at 0, against the number of pixels."""
_DARKEST = 0.03
"""Albedo below which a pixel says little of the light."""
_CLIPPED = 0.95
"""Linear light above which a pixel may have been cut off."""
_NO_LIGHT = 1e-3
"""Irradiance over pi below which a channel tells nothing of the light's direction."""
_LEAST_PIXELS, _PIXELS = 100, 3000
"""Fewer do not tell; more tell nothing new, so many are taken evenly."""


def estimate_direction(
    image: BgrImage, albedo: FloatArray, normal: FloatArray, person: Mask
) -> FloatArray | None:
    """Estimates the light direction that an image of a rendered person shows.

    It is the dominant direction of the order-2 lighting that explains the image best, given the
    rendered albedo and normals; hair and clothes take part. With estimated normals and a robust
    fit, from the face alone, rendered images themselves were read 30 to 60 degrees off.

    Args:
        image: `(H, W, 3)` BGR.
        albedo: `(H, W, 3)` linear RGB.
        normal: `(H, W, 3)` unit vectors in camera space; 0 where nobody is.
        person: the pixels that are fitted.

    Returns:
        `(3,)` unit vector; None when the image is too dark or too bright to tell.
    """
    linear = linear_rgb(image)
    told = (linear.max(2) < _CLIPPED) & (albedo.max(2) > _DARKEST) & (normal != 0).any(2)
    places = np.flatnonzero(person & told)
    if len(places) < _LEAST_PIXELS:
        return None
    places = places[np.linspace(0, len(places) - 1, min(len(places), _PIXELS)).astype(np.intp)]
    arriving = (linear / np.maximum(albedo, _DARKEST)).reshape(-1, 3)[places]
    mean = arriving.mean(0)
    if mean.max() < _NO_LIGHT:
        return None
    a = basis(normal.reshape(-1, 3)[places]) * LAMBERT
    ridge = np.eye(9, dtype=np.float32) * (_RIDGE * len(a))
    sh = np.linalg.solve(a.T @ a + ridge, a.T @ (arriving / np.maximum(mean, _NO_LIGHT)))
    return direction_of(sh.astype(np.float32))


class LightMeter:
    """Estimates the source lighting from the face's geometry, by a robust fit."""

    def __init__(self) -> None:
        self._mapper = NormalMapper()

    def estimate(self, image: BgrImage, faces: FaceState) -> FloatArray | None:
        """Estimates the lighting of an image.

        Args:
            image: `(H, W, 3)` BGR.
            faces: its faces; the same for all methods that are compared.

        Returns:
            `(9, 3)` radiance coefficients; None when too little skin is seen.
        """
        return estimate_lighting(FrameContext(image, faces), self._mapper)


def direction_of(sh: FloatArray) -> FloatArray:
    """`(3,)` dominant direction of lighting `(9, 3)`.

    Each channel is first divided by its first coefficient, so that no colour of light or skin
    counts more.
    """
    return dominant_direction(_normalised(sh))


def has_direction(sh: FloatArray) -> bool:
    """Whether lighting `(9, 3)` has a direction that an image can show.

    It must come from one side enough for an angle to mean something, and not from behind.
    """
    directed = float(np.linalg.norm(_normalised(sh)[1:4].mean(axis=1))) > _DIRECTED
    return directed and float(direction_of(sh)[2]) > _BEHIND


def angle_between(a: FloatArray, b: FloatArray) -> float:
    """Degrees between two unit vectors."""
    return math.degrees(math.acos(float(np.clip(a @ b, -1.0, 1.0))))


def _normalised(sh: FloatArray) -> FloatArray:
    return np.asarray(sh / np.maximum(sh[:1], 1e-6), np.float32)
