"""The square, turned with the head, that the landmark model looks at."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray

RIGHT_EYE, LEFT_EYE = 33, 263
"""Outer eye corners of the person in the face mesh: on the left and right of the image."""
MARGIN = 1.5
"""Side of the square over the longer side of the face's box, as the model was trained."""


@dataclass(frozen=True, slots=True)
class RegionParams:
    """How far a region may be from the face that it follows; shifts are fractions of its side."""

    stay_shift: float = 0.04
    stay_scale: float = 0.05
    stay_turn: float = math.radians(3)
    """Up to there a region stays where it is; scales are natural logarithms, turns radians."""
    slip_shift: float = 0.20
    slip_scale: float = math.log(1.5)
    """Beyond, it has lost the face."""


_PARAMS = RegionParams()


@dataclass(frozen=True, slots=True)
class Region:
    """A turned square in pixels of the image."""

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
            left: `(2,)` the eye on the left of the image.
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

    def settle(self, found: "Region", params: RegionParams = _PARAMS) -> "Region":
        """This region while `found` is close to it, else `found`.

        A still face must give still landmarks, and the landmarks of a crop that follows its own
        output never come to rest.
        """
        shift = math.hypot(found.x - self.x, found.y - self.y) / self.side
        scale = abs(math.log(found.side / self.side))
        turn = abs(math.remainder(found.angle - self.angle, math.tau))
        stays = shift < params.stay_shift and scale < params.stay_scale and turn < params.stay_turn
        return self if stays else found

    def slipped(self, detected: "Region", params: RegionParams = _PARAMS) -> bool:
        """Whether a region followed from landmarks has lost the face that was detected."""
        shift = math.hypot(detected.x - self.x, detected.y - self.y) / self.side
        scale = abs(math.log(detected.side / self.side))
        return shift > params.slip_shift or scale > params.slip_scale

    def crop(self, image: BgrImage, size: int) -> BgrImage:
        """`(size, size, 3)` pixels of the region, black outside the image."""
        forward = cv2.invertAffineTransform(self._to_image(size))
        crop = cv2.warpAffine(image, forward, (size, size), flags=cv2.INTER_LINEAR)
        return np.asarray(crop, np.uint8)

    def to_image(self, points: FloatArray, size: int) -> FloatArray:
        """`(n, 3)` points of the crop of that size, in pixels of the image; z is scaled alike."""
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
