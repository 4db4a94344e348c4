"""Where the skin of a face is."""

from collections.abc import Sequence

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import Map
from vcam_relight.pipeline.face.types import Face

_OVAL = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
]  # fmt: skip
_NOT_SKIN = (
    # eyes with lids and brows, one polygon a side, and the mouth: outlines in the face mesh
    [46, 70, 63, 105, 66, 107, 55, 133, 112, 232, 230, 228, 226],
    [276, 300, 293, 334, 296, 336, 285, 362, 341, 452, 450, 448, 446],
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146],
)


def skin_masks(faces: Sequence[Face], scale: float, size: tuple[int, int]) -> list[Map]:
    """The skin of each face that is visible, without eyes, brows and mouth.

    Args:
        faces: in pixels of the frame.
        scale: pixels of the masks for one of the frame.
        size: width and height of the masks.

    Returns:
        `(h, w)` 0 or 1 each.
    """
    masks = []
    for face in faces:
        if not face.visible:
            continue
        points = np.round(face.landmarks[:, :2] * (scale * 16)).astype(np.int32)
        mask = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillPoly(mask, [points[_OVAL]], 1, shift=4)
        cv2.fillPoly(mask, [points[outline] for outline in _NOT_SKIN], 0, shift=4)
        masks.append(mask.astype(np.float32))
    return masks
