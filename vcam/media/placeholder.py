"""Images that say in words what is being waited for."""

from collections.abc import Iterable

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage


def placeholder(size: tuple[int, int], lines: Iterable[tuple[str, float, float]]) -> BgrImage:
    """A dark `(height, width, 3)` BGR image with centred lines of text.

    It may reach a video call, so give it no address and no token.

    Args:
        size: width and height in pixels.
        lines: text in ASCII, its size (1 is a headline), its height in the image in 0..1.
    """
    width, height = size
    image = np.full((height, width, 3), (44, 36, 30), np.uint8)
    for text, share, y in lines:
        font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, height // 300)
        (unit, _), _ = cv2.getTextSize(text, font, 1.0, thickness)
        scale = min(height / 420 * share, 0.9 * width / unit)
        (wide, _), _ = cv2.getTextSize(text, font, scale, thickness)
        origin = ((width - wide) // 2, int(height * y))
        cv2.putText(image, text, origin, font, scale, (225, 220, 215), thickness, cv2.LINE_AA)
    return image
