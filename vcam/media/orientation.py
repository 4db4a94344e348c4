"""How stored pixels have to be turned to be upright."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage


@dataclass(frozen=True, slots=True)
class Orientation:
    """Transpose first, then flip: the eight ways in which a camera can be held."""

    transpose: bool = False
    horizontal: bool = False
    vertical: bool = False

    @staticmethod
    def from_matrix(matrix: Sequence[int]) -> "Orientation":
        """From a display matrix (ISO 14496-12, 8.2.2.3): nine integers, 16.16 fixed point.

        A matrix that is not made of quarter turns and flips gives no turn.
        """
        a, b, _, c, d = matrix[:5]
        if a and d and not b and not c:
            return Orientation(False, a < 0, d < 0)
        if b and c and not a and not d:
            return Orientation(True, c < 0, b < 0)
        return Orientation()

    def upright(self, image: BgrImage) -> BgrImage:
        """The stored image as it should be seen."""
        if self.transpose:
            image = np.asarray(cv2.transpose(image), np.uint8)
        return self._flip(image)

    def stored(self, image: BgrImage) -> BgrImage:
        """The inverse of `upright`."""
        image = self._flip(image)
        return np.asarray(cv2.transpose(image), np.uint8) if self.transpose else image

    def _flip(self, image: BgrImage) -> BgrImage:
        if not (self.horizontal or self.vertical):
            return image
        code = -1 if self.horizontal and self.vertical else (1 if self.horizontal else 0)
        return np.asarray(cv2.flip(image, code), np.uint8)
