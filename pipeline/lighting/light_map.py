"""Distant light as a small image of all directions, and the forms that renderers need of it."""

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.hdri import hdri_to_sh

ROWS, COLUMNS = 32, 64
LOBES = 162
"""Directions that light transport is traced for."""


LightMap = FloatArray
"""`(32, 64, 3)` float32 RGB radiance, linear, in world space, equirectangular in the convention of
`pipeline.lighting.hdri`: the centre column is the direction from the person to the camera (+z), the
left half is at +x, the top is up."""


@cache
def map_directions(rows: int = ROWS, columns: int = COLUMNS) -> tuple[FloatArray, FloatArray]:
    """Unit vectors `(rows, columns, 3)` and solid angles `(rows, columns)` in sr of a map."""
    azimuth = (0.5 - (np.arange(columns) + 0.5) / columns) * 2 * math.pi
    edges = (0.5 - np.arange(rows + 1) / rows) * math.pi
    elevation = ((edges[:-1] + edges[1:]) / 2)[:, None]
    angle = (np.sin(edges[:-1]) - np.sin(edges[1:]))[:, None] * 2 * math.pi / columns
    vectors = np.stack(
        np.broadcast_arrays(
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ),
        axis=-1,
    )
    return vectors.astype(np.float32), np.repeat(angle, columns, axis=1).astype(np.float32)


@cache
def sphere_directions(count: int = LOBES) -> FloatArray:
    """`(count, 3)` float32 unit vectors spread evenly over the sphere (Fibonacci lattice)."""
    step = np.arange(count) + 0.5
    y = 1 - 2 * step / count
    angle = math.pi * (1 + math.sqrt(5)) * step
    r = np.sqrt(1 - y * y)
    result: FloatArray = np.stack([np.cos(angle) * r, y, np.sin(angle) * r], 1).astype(np.float32)
    return result


@cache
def _owner(count: int) -> NDArray[np.intp]:
    directions, _ = map_directions()
    nearest: NDArray[np.intp] = np.argmax(
        directions.reshape(-1, 3) @ sphere_directions(count).T, axis=1
    )
    return nearest


def to_lobes(light: LightMap, count: int = LOBES) -> FloatArray:
    """`(count, 3)` irradiance on a surface that faces each of `sphere_directions`.

    It is the map's energy, every pixel given to its nearest direction, none lost.
    """
    _, angle = map_directions()
    energy = (light * angle[..., None]).reshape(-1, 3).astype(np.float64)
    lobes = np.zeros((count, 3))
    np.add.at(lobes, _owner(count), energy)
    return lobes.astype(np.float32)


def small_map(image: FloatArray, rotate_degrees: float = 0.0) -> LightMap:
    """A whole environment map `(H, W, 3)` as a `LightMap`; turned as `hdri_to_sh` says."""
    small = cv2.resize(image, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    if rotate_degrees % 360:
        # Turning towards +x, which the left half lights, moves the image to the left.
        shift = rotate_degrees / 360 * COLUMNS
        columns = np.arange(COLUMNS, dtype=np.float32) + np.float32(shift)
        low = np.floor(columns).astype(int)
        share = (columns - low)[None, :, None]
        small = small[:, low % COLUMNS] * (1 - share) + small[:, (low + 1) % COLUMNS] * share
    return np.asarray(small, np.float32)


def to_sh(light: LightMap) -> FloatArray:
    """`(9, 3)` radiance coefficients in the order of `pipeline.lighting.sh`."""
    return hdri_to_sh(light)
