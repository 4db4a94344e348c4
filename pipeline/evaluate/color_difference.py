"""CIE Lab and its colour differences: CIE76, and CIEDE2000 (Sharma, Wu, Dalal 2005)."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import BgrImage

Lab = NDArray[np.float64]
"""`(..., 3)` L 0..100, a, b; D65."""


def lab(image: BgrImage, blur: float = 0.0) -> Lab:
    """An image's colours.

    Args:
        image: `(H, W, 3)`.
        blur: pixels, sigma, by which encoded values are blurred before.
    """
    values = image.astype(np.float32) / np.float32(255)
    if blur > 0:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), blur), np.float32)
    return np.asarray(cv2.cvtColor(values, cv2.COLOR_BGR2LAB), np.float64)


def delta_e76(one: Lab, other: Lab) -> NDArray[np.float64]:
    """`(...)` distances in Lab."""
    return np.asarray(np.linalg.norm(one - other, axis=-1), np.float64)


def delta_e2000(one: Lab, other: Lab) -> NDArray[np.float64]:
    """`(...)` CIEDE2000 differences with all parametric factors 1."""
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(values, -1, 0) for values in (one, other))
    mean_chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean_chroma**7 / (mean_chroma**7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    gray = c1 * c2 == 0
    turn = h2 - h1
    turn = np.where(turn > 180, turn - 360, np.where(turn < -180, turn + 360, turn))
    turn = np.where(gray, 0.0, turn)
    hue_change = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    far = np.abs(h1 - h2) > 180
    hue = (h1 + h2) / 2
    hue = np.where(far, np.where(h1 + h2 < 360, hue + 180, hue - 180), hue)
    hue = np.where(gray, h1 + h2, hue)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
    s_l = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    rotation = 60 * np.exp(-(((hue - 275) / 25) ** 2))
    r_t = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(rotation))
    x, y, z = (l2 - l1) / s_l, (c2 - c1) / s_c, hue_change / s_h
    return np.asarray(np.sqrt(x * x + y * y + z * z + r_t * y * z), np.float64)
