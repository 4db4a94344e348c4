"""Small meshes swept along curves: building blocks of accessories."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.core.scene import Triangles

Reals = NDArray[np.floating[Any]]
"""float32 or float64 of the shape that its docstring gives."""

# Corners of a bar's section.
_SIDES = 8


@dataclass(frozen=True, slots=True)
class Solid:
    """A triangle mesh.

    positions: (V, 3) in dm. triangles: (N, 3), counter-clockwise seen from outside. uvs: (V, 2)
    texture coordinates in 0..1, v up.
    """

    positions: FloatArray
    triangles: Triangles
    uvs: FloatArray


def merge(solids: Sequence[Solid]) -> Solid:
    """One mesh of several."""
    starts = np.cumsum([0] + [len(solid.positions) for solid in solids[:-1]])
    return Solid(
        np.concatenate([solid.positions for solid in solids]).astype(np.float32),
        np.concatenate(
            [solid.triangles + start for solid, start in zip(solids, starts, strict=True)]
        ).astype(np.int32),
        np.concatenate([solid.uvs for solid in solids]).astype(np.float32),
    )


def sweep(
    path: Reals,
    across: Reals,
    width: Reals | float,
    depth: Reals | float,
    closed: bool = False,
) -> Solid:
    """A bar with a rounded rectangular section along `path` (N, 3), its ends closed.

    across: (N, 3) or (3,) direction in which the section is `width` thick; it is `depth` thick at
    right angles to that and to the path.
    """
    count, sides = len(path), _SIDES
    ahead: Reals = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead = unit(ahead)
    side: Reals = np.broadcast_to(across, path.shape)
    first = unit(side - (side * ahead).sum(1, keepdims=True) * ahead)
    second = np.cross(ahead, first)
    angles = (np.arange(sides) + 0.5) / sides * 2 * np.pi
    # A superellipse of exponent 4: a rectangle with rounded edges.
    rounding = (np.cos(angles) ** 4 + np.sin(angles) ** 4) ** -0.25
    u, v = np.cos(angles) * rounding / 2, np.sin(angles) * rounding / 2
    widths = np.broadcast_to(np.asarray(width, float), (count,))[:, None, None]
    depths = np.broadcast_to(np.asarray(depth, float), (count,))[:, None, None]
    ring = (
        path[:, None]
        + widths * u[None, :, None] * first[:, None]
        + depths * v[None, :, None] * second[:, None]
    )
    along = np.repeat(np.linspace(0.02, 0.98, count)[:, None], sides, axis=1)
    around = np.repeat(np.linspace(0.02, 0.98, sides)[None], count, axis=0)
    triangles: list[NDArray[Any]] = [_tube_triangles(count, sides, closed)]
    positions, uvs = ring.reshape(-1, 3), np.stack([along, around], -1).reshape(-1, 2)
    if not closed:
        ends = np.arange(1, sides - 1)
        fan = np.stack([np.zeros_like(ends), ends, ends + 1], axis=1)
        triangles += [fan[:, ::-1], fan + (count - 1) * sides]
    return Solid(
        positions.astype(np.float32),
        np.concatenate(triangles).astype(np.int32),
        uvs.astype(np.float32),
    )


def ellipsoid(centre: Reals, axes: Reals, rings: int) -> Solid:
    """An ellipsoid.

    Args:
        centre: (3,) dm.
        axes: (3, 3) right-handed half axes as rows, the third from pole to pole.
        rings: bands of faces between the poles.
    """
    polar = np.linspace(0, np.pi, rings + 1)
    azimuth = np.linspace(0, 2 * np.pi, 2 * rings + 1)
    p, a = np.meshgrid(polar, azimuth, indexing="ij")
    sphere = np.stack([np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)], axis=-1)
    uvs = np.stack([a / (2 * np.pi), 1 - p / np.pi], axis=-1).reshape(-1, 2)
    positions = sphere.reshape(-1, 3) @ axes + centre
    return Solid(
        positions.astype(np.float32),
        grid_triangles(*p.shape),
        uvs.astype(np.float32),
    )


def grid_triangles(rows: int, columns: int) -> Triangles:
    """Triangles of a grid of vertices.

    Faces look to the side of columns x rows when rows run down and columns to the right.
    """
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2)
    return faces.reshape(-1, 3).astype(np.int32)


def unit(vectors: Reals) -> Reals:
    """Vectors (..., 3) at length 1."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: Reals = vectors / np.maximum(length, 1e-9)
    return result


def _tube_triangles(count: int, sides: int, closed: bool) -> NDArray[np.int32]:
    rings = np.arange(count if closed else count - 1)[:, None]
    side = np.arange(sides)[None]
    following = (rings + 1) % count
    a, b = rings * sides + side, rings * sides + (side + 1) % sides
    c, d = following * sides + (side + 1) % sides, following * sides + side
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2)
    return faces.reshape(-1, 3).astype(np.int32)
