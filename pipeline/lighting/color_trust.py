"""Whether an image has colours that tell the light's."""

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.mathx import smoothstep

_CHROMA = (3.0, 8.0)
"""Levels of 255 between the channels of an image's most coloured pixels, up to which it counts as
black and white and from which as coloured. A black-and-white image has none, and whoever takes all
skin for coloured would give it some."""


def color_trust(image: BgrImage) -> float:
    """0..1, whether an image has colours: 0 for black and white."""
    blue, green, red = cv2.split(image)  # numpy is slow at reductions over three values
    most, least = cv2.max(cv2.max(blue, green), red), cv2.min(cv2.min(blue, green), red)
    counts = np.bincount(cv2.subtract(most, least).ravel(), minlength=256)
    spread = int(np.searchsorted(np.cumsum(counts), 0.99 * image[..., 0].size))
    return float(smoothstep(*_CHROMA, float(spread)))
