"""How a head lies in an image, from its face landmarks."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.face.models import load_pose_basis
from vcam_relight.pipeline.head.space import HALF, HeadPose

_FLIP = np.array([1, -1, -1], np.float32)
"""Between camera space (y up, z to the camera) and an image's (y down, z away)."""


@dataclass(frozen=True, slots=True)
class Head:
    """One head in an image."""

    rotation: FloatArray
    """`(3, 3)` from head to camera axes."""
    scale: float
    """Pixels per decimetre."""
    origin: FloatArray
    """`(3,)` of head space: x right and y down in pixels, z in the same scale, away."""

    @property
    def turned_away(self) -> float:
        """Degrees between where the face looks and the camera."""
        return math.degrees(math.acos(float(np.clip(self.rotation[2, 2], -1, 1))))

    @property
    def roll(self) -> float:
        """Degrees by which it lies in the image, to either side: 0 to 180."""
        x, y = self.rotation[:2, 1]
        return math.degrees(abs(math.atan2(float(x), float(y))))

    @property
    def side(self) -> float:
        """Of the network's crop, in pixels; its middle is the origin."""
        return 2 * HALF * self.scale


class HeadFinder:
    """Weighted Procrustes analysis with scale (Umeyama 1991) against MediaPipe's canonical face."""

    def __init__(self) -> None:
        self._indices, weights, points = load_pose_basis()
        self._weights = (weights / weights.sum())[:, None]
        self._mean = (self._weights * points).sum(0) / 10  # centimetres to decimetres
        self._points = points / 10 - self._mean
        self._size = float((self._weights * self._points**2).sum())

    def find(self, landmarks: FloatArray) -> Head:
        """The head of `(468, 3)` landmarks, as in `pipeline.face.types.Face`."""
        seen = landmarks[self._indices] * _FLIP
        mean = (self._weights * seen).sum(0)
        u, stretch, vt = np.linalg.svd((self._weights * (seen - mean)).T @ self._points)
        proper = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
        rotation = (u * proper) @ vt
        scale = float((stretch * proper).sum()) / self._size
        origin = (mean - scale * rotation @ self._mean) * _FLIP
        return Head(rotation.astype(np.float32), scale, origin.astype(np.float32))


def pose_in_crop(head: Head, middle: FloatArray, side: float) -> HeadPose:
    """The head in a square crop of a middle `(2,)` and a side in pixels, as a batch of one."""
    shift = (head.origin[:2] - middle) * (2 / side)
    return HeadPose(
        torch.from_numpy(head.rotation)[None],
        torch.tensor([2 * head.scale / side]),
        torch.from_numpy(shift.astype(np.float32))[None],
    )
