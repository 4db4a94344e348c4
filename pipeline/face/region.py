"""The square, turned with the head, that the landmark model looks at."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray

RIGHT_EYE, LEFT_EYE = 33, 263
"""Outer eye corners of the person in the face mesh: on the left and right of the picture."""
MARGIN = 1.5
"""Side of the square over the longer side of the face's box, as the model was trained."""
_STAY_SHIFT = 0.04
_STAY_SCALE = 0.05
_STAY_TURN = math.radians(3)
_SLIP_SHIFT = 0.20
_SLIP_SCALE = math.log(1.5)


@dataclass(frozen=True, slots=True)
class Region:
    """A turned square in pixels of the picture."""

    x: float
    y: float
    side: float
    angle: float
    """Radians, clockwise on the screen."""

    @staticmethod
    def around(points: FloatArray, left: FloatArray, right: FloatArray) -> "Region":
        """The region for a face.

        Args:
            points: `(n, 2)` pixels that span the face.
            left: `(2,)` the eye on the left of the picture.
            right: `(2,)` the other one.
        """
        dx, dy = (float(v) for v in right - left)
        angle = math.atan2(dy, dx)
        axes = np.array(
            [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], np.float32
        )
        turned = points @ axes.T
        low, high = turned.min(axis=0), turned.max(axis=0)
        centre = (low + high) / 2 @ axes
        side = float((high - low).max()) * MARGIN
        return Region(float(centre[0]), float(centre[1]), side, angle)

    @staticmethod
    def of_landmarks(landmarks: FloatArray) -> "Region":
        """The region for `(468, 3)` landmarks of the frame before."""
        points = landmarks[:, :2]
        return Region.around(points, points[RIGHT_EYE], points[LEFT_EYE])

    def upside_down(self) -> "Region":
        """The same square, for a face that stands on its head in it."""
        return replace(self, angle=self.angle + math.pi)

    def settle(self, wanted: "Region") -> "Region":
        """This region while `wanted` is close to it, else `wanted`.

        A still face must give still landmarks, and the landmarks of a crop that follows its own
        output never come to rest.
        """
        shift = math.hypot(wanted.x - self.x, wanted.y - self.y) / self.side
        scale = abs(math.log(wanted.side / self.side))
        turn = abs(math.remainder(wanted.angle - self.angle, math.tau))
        near = shift < _STAY_SHIFT and scale < _STAY_SCALE and turn < _STAY_TURN
        return self if near else wanted

    def slipped(self, detected: "Region") -> bool:
        """Whether a region followed from landmarks has lost the face that was detected."""
        shift = math.hypot(detected.x - self.x, detected.y - self.y) / self.side
        return shift > _SLIP_SHIFT or abs(math.log(detected.side / self.side)) > _SLIP_SCALE

    def crop(self, image: BgrImage, size: int) -> BgrImage:
        """`(size, size, 3)` pixels of the region, black outside the picture."""
        forward = cv2.invertAffineTransform(self._to_image(size))
        crop = cv2.warpAffine(image, forward, (size, size), flags=cv2.INTER_LINEAR)
        return np.asarray(crop, np.uint8)

    def to_image(self, points: FloatArray, size: int) -> FloatArray:
        """`(n, 3)` points of the crop of that size, in pixels of the picture; z is scaled alike."""
        matrix = self._to_image(size)
        out = np.empty_like(points)
        out[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        out[:, 2] = points[:, 2] * (self.side / size)
        return out

    def _to_image(self, size: int) -> FloatArray:
        scale = self.side / size
        c, s = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        half = size / 2
        return np.array(
            [
                [c, -s, self.x - c * half + s * half],
                [s, c, self.y - s * half - c * half],
            ],
            np.float32,
        )
