"""Where the light on a face comes from, read from the picture by the product's own estimator."""

import math

import numpy as np

from pipeline.geometry_engine import GeometryEngine
from pipeline.lighting.sh import dominant_direction
from pipeline.types import FaceState, Floats, Picture

_DIRECTED = 0.25
"""Length of band 1 over coefficient 0 below which a lighting has no direction worth an angle; a
point light has 1.73."""


class LightMeter:
    """Estimates the present light with the geometry engine's normals and robust fit.

    The estimate is biased (a face shows half of all normals, albedo is uneven), so that its error
    on rendered truth is the floor under the figures of any engine.
    """

    def __init__(self) -> None:
        self._engine = GeometryEngine()

    def present(self, picture: Picture, faces: FaceState) -> Floats | None:
        """`(9, 3)` radiance of the light in a BGR picture; None when too little skin is seen.

        Args:
            faces: the faces of the picture; the same for all engines that are compared.
        """
        return self._engine.present_light(faces, picture)


def direction_of(sh: Floats) -> Floats:
    """`(3,)` dominant direction of lighting `(9, 3)`, each channel first divided by its first
    coefficient, so that no colour of light or skin counts more."""
    return dominant_direction(_normalised(sh))


def has_direction(sh: Floats) -> bool:
    """Whether lighting `(9, 3)` comes from one side enough for an angle to mean something."""
    return float(np.linalg.norm(_normalised(sh)[1:4].mean(axis=1))) > _DIRECTED


def angle_between(a: Floats, b: Floats) -> float:
    """Degrees between two unit vectors."""
    return math.degrees(math.acos(float(np.clip(a @ b, -1.0, 1.0))))


def _normalised(sh: Floats) -> Floats:
    return np.asarray(sh / np.maximum(sh[:1], 1e-6), np.float32)
