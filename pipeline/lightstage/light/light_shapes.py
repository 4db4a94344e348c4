"""Building blocks of lightings, as light maps: lamps, windows, what a room reflects."""

import colorsys
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.color import luminance
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.light_map import (
    COLUMNS,
    ROWS,
    LightMap,
    map_directions,
    sphere_directions,
)
from vcam_relight.pipeline.lighting.lights import direction, temperature_rgb

_HARD = 8.0
"""Lights smaller than this many degrees stand exactly at one of the directions that transport is
traced for, since they fall on one of them alone."""


def any_lamp(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    """A warm, round lamp."""
    colour = temperature_rgb(float(rng.uniform(2400, 4200)))
    return blob(yaw, pitch, float(rng.uniform(5, 20))) * colour


def room(rng: np.random.Generator, light: LightMap, low: float, high: float) -> LightMap:
    """What walls, ceiling and floor reflect, brighter above or below.

    Args:
        rng: the only source of chance.
        light: the light in the room.
        low: least of its energy that is reflected, 0..1; drawn evenly on a logarithmic scale.
        high: most of it, 0..1.
    """
    vectors, angle = map_directions()
    gradient = 1 + rng.uniform(-0.7, 0.7) * vectors[..., 1:2]
    mean = (light * angle[..., None]).sum((0, 1))
    mean /= luminance(mean)
    colour = (0.5 * mean + 0.5) * temperature_rgb(float(rng.uniform(4000, 7500)))
    share = float(np.exp(rng.uniform(math.log(low), math.log(high))))
    given = gradient * colour
    return np.asarray(given * (energy(light) * share / energy(given)), np.float32)


def blob(yaw: float, pitch: float, sigma: float) -> LightMap:
    """A round light with a Gaussian edge of `sigma` degrees, grey."""
    centre = direction(yaw, pitch)
    if sigma < _HARD:
        centre = sphere_directions()[int(np.argmax(sphere_directions() @ centre))]
    vectors, _ = map_directions()
    spread = math.radians(sigma)
    value = np.exp((vectors @ centre - 1) / spread**2)  # von Mises-Fisher
    return np.repeat(value[..., None], 3, axis=2).astype(np.float32)


def box(rng: np.random.Generator, yaw: float, pitch: float, size: NDArray[np.float64]) -> LightMap:
    """A rectangle of `size` degrees (width, height) seen from the person, a little turned, grey."""
    vectors, _ = map_directions()
    forward = direction(yaw, pitch)
    right = direction(yaw + 90.0, 0.0)
    up = np.cross(forward, right)
    roll = float(rng.normal(0, 0.12))
    axis = math.cos(roll) * right + math.sin(roll) * up
    other = math.cos(roll) * up - math.sin(roll) * right
    ahead = vectors @ forward
    place = np.stack([vectors @ axis, vectors @ other], -1) / np.maximum(ahead, 1e-3)[..., None]
    half = np.tan(np.radians(np.asarray(size)) / 2)
    edge = np.clip((half - np.abs(place)) / 0.08 + 0.5, 0, 1).prod(-1) * (ahead > 0.1)
    return np.repeat(edge[..., None], 3, axis=2).astype(np.float32) + np.float32(1e-6)


def any_kelvin(rng: np.random.Generator) -> float:
    """Around daylight, on the scale that eyes see evenly (the reciprocal)."""
    return float(1e6 / np.clip(rng.normal(175, 55), 85, 400))


def coloured(hue: float, saturation: float) -> FloatArray:
    """A linear RGB colour, between that of luminance 1 and that of brightest channel 1."""
    rgb = np.array(colorsys.hsv_to_rgb(hue, saturation, 1.0), np.float32)
    result: FloatArray = (rgb / (0.5 * rgb.max() + 0.5 * luminance(rgb))).astype(np.float32)
    return result


def energy(light: LightMap) -> float:
    """Luminance of all the light together."""
    _, angle = map_directions()
    return luminance((light * angle[..., None]).sum((0, 1)))


def small(radiance: FloatArray) -> LightMap:
    """An environment at the size of a light map."""
    resized = cv2.resize(radiance, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.float32)


def rotate(radiance: FloatArray, yaw: float, pitch: float = 0.0) -> LightMap:
    """The surroundings turned about the vertical, then tilted towards the camera's up.

    Args:
        radiance: `(R, 2R, 3)`.
        yaw: degrees; positive moves a light in front of the person towards +x, as its azimuth.
        pitch: degrees; positive lifts what is in front.

    Returns:
        `(32, 64, 3)`.
    """
    rows, columns = radiance.shape[:2]
    vectors, _ = map_directions(rows, columns)
    a, e = math.radians(yaw), math.radians(pitch)
    turn = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    tilt = np.array([[1, 0, 0], [0, math.cos(e), math.sin(e)], [0, -math.sin(e), math.cos(e)]])
    source = vectors @ (tilt @ turn)  # the transpose, row by row: back to where it came from
    azimuth = np.arctan2(source[..., 0], source[..., 2])
    elevation = np.arcsin(np.clip(source[..., 1], -1, 1))
    x = (0.5 - azimuth / (2 * math.pi)) * columns - 0.5
    y = np.clip((0.5 - elevation / math.pi) * rows - 0.5, 0, rows - 1)
    wrapped = np.concatenate([radiance[:, -1:], radiance, radiance[:, :1]], axis=1)
    turned = cv2.remap(
        wrapped.astype(np.float32),
        (x + 1).astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return small(np.asarray(turned, np.float32))
