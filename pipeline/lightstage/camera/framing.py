"""Where cameras stand: the crop of a face that engines work on, and views from elsewhere."""

import math
from dataclasses import replace

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.core.scene import PinholeCamera

DISTANCE = 8.0
"""dm from the eyes to the camera, as at a desk."""
HEIGHT = 3.2
"""dm of the person that the image shows at the eyes' distance: head, hair and shoulders, about
the crop of EG3D (Chan et al. 2022)."""
BELOW_EYES = 0.35
"""dm from the eyes down to the image's middle."""
YAW, PITCH = 30.0, 15.0
"""Degrees within which novel views are looked from."""
_HEAD_CENTRE = np.array([0.0, -0.3, -0.8, 1.0], np.float32)
"""Homogeneous, from the midpoint between the eyes of the neutral head; what novel views turn
about."""


def source_camera(
    size: int,
    eyes: FloatArray | None = None,
    distance: float = DISTANCE,
    height: float = HEIGHT,
    shift: tuple[float, float] = (0.0, 0.0),
) -> PinholeCamera:
    """A camera that looks straight at a face; its axes are the world's.

    Args:
        size: of the square image in pixels.
        eyes: `(3,)` midpoint between the eyes, dm; that of the neutral pose unless given.
        distance: dm from the eyes.
        height: dm that the image shows there.
        shift: dm by which the camera stands too far right and too high.
    """
    middle = np.zeros(3, np.float32) if eyes is None else np.asarray(eyes, np.float32)
    offset = np.array([shift[0], shift[1] - BELOW_EYES, distance], np.float32)
    return PinholeCamera(middle + offset, distance / height, size, size)


def jittered_camera(rng: np.random.Generator, size: int, eyes: FloatArray) -> PinholeCamera:
    """Draws a source camera: near or far, tight or wide, off the middle, as webcam crops are.

    Args:
        rng: the only source of chance.
        size: of the square image in pixels.
        eyes: `(3,)` midpoint between the eyes, dm.
    """
    shift = np.clip(rng.normal(0, 0.1, 2), -0.25, 0.25)
    return source_camera(
        size,
        eyes,
        distance=float(rng.uniform(5.5, 11.0)),
        height=float(rng.uniform(2.9, 3.7)),
        shift=(float(shift[0]), float(shift[1])),
    )


def orbit(camera: PinholeCamera, centre: FloatArray, yaw: float, pitch: float) -> PinholeCamera:
    """The camera moved around a point that it goes on looking at.

    Args:
        camera: where it starts from.
        centre: `(3,)` dm.
        yaw: degrees; positive moves it to the right of the image (+x).
        pitch: degrees; positive moves it up.
    """
    a, e = math.radians(yaw), math.radians(pitch)
    turn = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    tilt = np.array([[1, 0, 0], [0, math.cos(e), math.sin(e)], [0, -math.sin(e), math.cos(e)]])
    moved = turn @ tilt
    return replace(
        camera,
        position=(centre + moved @ (camera.position - centre)).astype(np.float32),
        rotation=(camera.rotation @ moved.T).astype(np.float32),
    )


def head_centre(head: FloatArray) -> FloatArray:
    """`(3,)` centre of the head in dm, for the `(4, 4)` transform `Posed.head`."""
    result: FloatArray = (head @ _HEAD_CENTRE)[:3]
    return result
