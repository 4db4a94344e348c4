"""Portraits as webcams see them in the rooms that people sit in."""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import encode_srgb, linear_rgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, LinearRgb

_SHOT, _READ = 6e-4, 2e-5
"""Variance of a webcam's noise at white, and at black, in linear light."""
_JPEG = 88


@dataclass(frozen=True, slots=True)
class Room:
    """What a room makes of the light of a well lit portrait."""

    name: str
    light: tuple[float, float, float]
    """RGB factor of linear light."""
    around: float = 1.0
    """How much more than in the middle of the image there is around it."""


CLEAN = Room("clean", (1.0, 1.0, 1.0))
ROOMS = (
    Room("dark", (0.1, 0.1, 0.1)),
    Room("dim", (0.3, 0.3, 0.3)),
    Room("back-lit", (0.15, 0.15, 0.15), around=1.6 / 0.15),
    Room("screen-lit", (0.124, 0.2, 0.3)),
    Room("warm bulb", (0.585, 0.414, 0.225)),
)


def in_room(image: BgrImage, room: Room, seed: int) -> BgrImage:
    """The image as a webcam takes it in a room; in `CLEAN` it is the image itself.

    Args:
        image: `(H, W, 3)` in good light, the face about in the middle.
        room: the light.
        seed: of the sensor's noise.
    """
    if room == CLEAN:
        return image
    light = np.array(room.light, np.float32) * _around(image.shape[:2], room.around)
    return webcam_shot(linear_rgb(image) * light, seed)


def webcam_shot(linear: LinearRgb, seed: int) -> BgrImage:
    """Linear light with a webcam's shot and read noise, as JPEG."""
    random = np.random.default_rng(seed)
    deviation = np.sqrt(_SHOT * np.clip(linear, 0, 1) + _READ)
    noisy = linear + random.standard_normal(linear.shape, np.float32) * deviation
    coded = np.round(encode_srgb(noisy[..., ::-1]) * 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", coded, [cv2.IMWRITE_JPEG_QUALITY, _JPEG])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def _around(size: tuple[int, ...], around: float) -> FloatArray:
    """`(H, W, 1)` 1 in the middle, `around` outside of it."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = ((x - width / 2) / (0.3 * width)) ** 2
    distance += ((y - 0.55 * height) / (0.55 * height)) ** 2
    middle = np.exp(-(distance**2))[..., None]
    return np.asarray(middle + around * (1 - middle), np.float32)
