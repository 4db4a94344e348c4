"""Mipmaps of textures with transparency, without fringes of the colours behind clear texels."""

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import DECODE_8BIT, encode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.core.scene import Texture


def mipmaps(texture: Texture) -> list[Texture]:
    """All levels of a texture, the finest first, down to one texel.

    Colours are averaged in linear light, weighted by alpha; clear texels take the colour of the
    next coarser level, so that a filter between texels finds no other colour than the visible one.
    """
    height, width = texture.shape[:2]
    alpha: FloatArray = np.divide(texture[..., 3:], 255, dtype=np.float32)
    # a trace, lest a level that is all clear has no colour
    weight: FloatArray = np.clip(alpha, 1e-3, None, dtype=np.float32)
    colour: FloatArray = DECODE_8BIT[texture[..., :3]] * weight
    levels = [(colour, weight, alpha)]
    while height > 1 or width > 1:
        height, width = max(height // 2, 1), max(width // 2, 1)
        colour, weight, alpha = (_halved(plane, width, height) for plane in (colour, weight, alpha))
        levels.append((colour, weight, alpha))
    coarser: FloatArray | None = None
    result: list[Texture] = []
    for colour, weight, alpha in reversed(levels):
        straight: FloatArray = colour / weight
        if coarser is not None:
            size = (colour.shape[1], colour.shape[0])
            wide = cv2.resize(coarser, size, interpolation=cv2.INTER_LINEAR)
            straight = wide + (straight - wide) * np.minimum(alpha * 8, 1)
        coarser = straight
        pixels = np.concatenate([encode_srgb(straight), alpha], axis=2) * 255 + 0.5
        result.append(pixels.astype(np.uint8))
    return result[::-1]


def _halved(plane: FloatArray, width: int, height: int) -> FloatArray:
    small = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(height, width, -1)
