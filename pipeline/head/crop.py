"""The network's crop of a frame: an upright square about the head."""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.head.pose import Head


@dataclass(frozen=True, slots=True)
class HeadCrop:
    """In pixels of the frame; may reach beyond it."""

    middle: FloatArray
    """`(2,)` x right and y down; the first pixel's middle is at 0.5."""
    side: float

    @staticmethod
    def of(head: Head) -> "HeadCrop":
        """The crop of a head, its origin in the middle."""
        return HeadCrop(head.origin[:2].copy(), head.side)

    def scaled(self, factor: float) -> "HeadCrop":
        """The same in a frame of `factor` times the size."""
        return HeadCrop(self.middle * np.float32(factor), self.side * factor)

    def cut(self, frame: BgrImage, size: int) -> BgrImage:
        """`(size, size, ...)` of a frame, BGR or luma alone; what is outside it is the edge's."""
        full = _fine(self.side, size)
        crop = cv2.warpAffine(
            frame, self._matrix(full), (full, full),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return resize(np.asarray(crop, np.uint8), (size, size))

    def cut_map(self, values: FloatArray, size: int) -> FloatArray:
        """The same of float32 maps of the frame; outside it they are 0."""
        full = _fine(self.side, size)
        crop = cv2.warpAffine(
            values, self._matrix(full), (full, full),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT,
        )  # fmt: skip
        return resize(np.asarray(crop, np.float32), (size, size))

    def _matrix(self, size: int) -> FloatArray:
        """`(2, 3)` from pixels of a crop of that size to those of the frame, as OpenCV counts."""
        scale = self.side / size
        corner = self.middle - self.side / 2 + scale / 2 - 0.5
        return np.array([[scale, 0, corner[0]], [0, scale, corner[1]]], np.float32)


def _fine(side: float, size: int) -> int:
    """The side that a crop is first cut at.

    Shrinking needs a filter, and OpenCV's is fast for halves and quarters.
    """
    full = size
    while full * 1.5 < side and full < 4 * size:
        full *= 2
    return full
