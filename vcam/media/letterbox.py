"""Fits images of any size into one size, with black bars, never stretched."""

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage


def even(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height rounded down to even numbers, as 4:2:0 chroma needs; at least 2."""
    return max(size[0] & ~1, 2), max(size[1] & ~1, 2)


class Letterbox:
    """Makes images of one size, in a buffer that is used again for each of them."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Makes the buffer.

        Args:
            size: width and height of what comes out, in pixels.
        """
        self.size = size
        self._canvas: BgrImage = np.zeros((size[1], size[0], 3), np.uint8)
        self._fitted_from: tuple[int, int] | None = None

    def fit(self, image: BgrImage) -> BgrImage:
        """`image` itself when it has the size; else a scaled copy in the middle of black.

        What comes back is valid until the next call.
        """
        height, width = image.shape[:2]
        if (width, height) == self.size:
            return image
        scale = min(self.size[0] / width, self.size[1] / height)
        w, h = (
            # a bar of one pixel is no bar but a rounded size: 1281x721 fills 1280x720
            whole if whole - part * scale < 2 else max(round(part * scale), 1)
            for part, whole in zip((width, height), self.size, strict=True)
        )
        left, top = (self.size[0] - w) // 2, (self.size[1] - h) // 2
        if self._fitted_from != (width, height):
            self._canvas[:] = 0
            self._fitted_from = (width, height)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        self._canvas[top : top + h, left : left + w] = cv2.resize(
            image, (w, h), interpolation=method
        )
        return self._canvas
