"""Light transport per vertex: which directions each vertex sees, traced once and lit many times.

Precomputed radiance transfer (Sloan, Kautz and Snyder 2002) over the directions of `light_map`
instead of spherical harmonics, which would ring under hard light. What is kept is the share of each
direction's cell that is not hidden; cosines are those of the normals at lighting time, so that one
trace serves nearby poses. Where a ray is blocked, the vertex that blocks it is kept too: its own
light comes back as a bounce.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy import sparse

from vcam_relight.pipeline.core.color import DECODE_8BIT
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.light_map import (
    COLUMNS,
    LOBES,
    ROWS,
    LightMap,
    sphere_directions,
    to_lobes,
)
from vcam_relight.pipeline.lightstage.core.scene import Part, Posed
from vcam_relight.pipeline.lightstage.render.brdf import Glossy
from vcam_relight.pipeline.lightstage.render.visibility import Shares, cell_reach, trace_visibility

BOUNCES = 2
"""Times that light goes on from hidden surfaces; a third adds at most 0.15% to a head."""


def mean_cosine(cosine: FloatArray, count: int) -> FloatArray:
    """Mean of the positive part of the cosine over one direction's cell.

    Args:
        cosine: any shape, between normals and the middles of the cells.
        count: of `sphere_directions`; a cell's width follows from it.
    """
    half = cell_reach(count)
    ramp: FloatArray = np.clip(cosine + np.float32(half), 0, np.float32(2 * half))
    ramp *= ramp
    ramp /= 4 * half
    np.copyto(ramp, cosine, where=cosine > half)
    return ramp


@dataclass(frozen=True)
class Lit:
    """A posed person under one lighting."""

    irradiance: tuple[FloatArray, ...]
    """Per part, `(V, 3)` linear RGB."""
    glossy: Glossy
    visible: tuple[Shares, ...]
    """Per part; shadows the gloss."""
    lobes: FloatArray
    """`(L, 3)` as of `to_lobes`."""


@dataclass(frozen=True)
class Transfer:
    """What was traced for one pose, or the mixture of two."""

    visible: tuple[Shares, ...]
    """Per part."""
    albedo: FloatArray
    """`(V of all parts, 3)` linear RGB that the bounce takes on."""
    gathers: tuple[tuple[float, sparse.csr_array], ...]
    """Weights and `(V of all parts, V of all parts)` matrices from the light that vertices send out
    (radiance times pi) to the irradiance of those that see them."""

    def light(
        self, posed: Posed, lights: Sequence[LightMap], bounces: int = BOUNCES
    ) -> tuple[Lit, ...]:
        """The irradiance of every vertex, under each of some distant lights.

        Args:
            posed: normals are taken from it; the traced pose or one near it.
            lights: all at once cost little more than one.
            bounces: 0 for direct light alone.
        """
        count = self.visible[0].shape[1]
        lobes = [to_lobes(light, count) for light in lights]
        direct = np.concatenate(
            [
                _direct(visible, normals, np.concatenate(lobes, axis=1))
                for visible, normals in zip(self.visible, posed.normals, strict=True)
            ]
        )
        albedo = np.tile(self.albedo, len(lights))
        received = direct
        for _ in range(bounces):
            sent = received * albedo
            received = direct + sum(weight * (matrix @ sent) for weight, matrix in self.gathers)
        ends = np.cumsum([len(visible) for visible in self.visible])[:-1]
        return tuple(
            Lit(
                tuple(np.split(received[:, 3 * k : 3 * k + 3], ends)),
                Glossy.of(light),
                self.visible,
                lobes[k],
            )
            for k, light in enumerate(lights)
        )

    def mixed(self, other: "Transfer", share: float) -> "Transfer":
        """Between two poses of one person; `share` of the other, in 0..1."""
        visible = tuple(
            np.asarray(cv2.addWeighted(mine, 1 - share, theirs, share, 0), np.uint8)
            for mine, theirs in zip(self.visible, other.visible, strict=True)
        )
        gathers = [(weight * (1 - share), matrix) for weight, matrix in self.gathers]
        gathers += [(weight * share, matrix) for weight, matrix in other.gathers]
        return Transfer(visible, self.albedo, tuple(g for g in gathers if g[0] > 0))


def trace(parts: tuple[Part, ...], posed: Posed, count: int = LOBES) -> Transfer:
    """Traces which directions each vertex of a posed person sees.

    Args:
        parts: all that is drawn; triangles of theirs that `blocks_light` cast shadows.
        posed: one moment.
        count: of `sphere_directions`.
    """
    visibility = trace_visibility(parts, posed, count)
    sizes = [len(positions) for positions in posed.positions]
    cosine = np.concatenate(posed.normals) @ sphere_directions(count).T
    weight = mean_cosine(cosine, count) * _solid_angles(count)
    weight /= weight.sum(1, keepdims=True)
    weight *= 1 - visibility.visible / np.float32(255)
    gather = sparse.csr_array(
        (weight[visibility.vertex, visibility.lobe], (visibility.vertex, visibility.met)),
        shape=(len(cosine), len(cosine)),
    )
    albedo = np.concatenate([_albedo(part, size) for part, size in zip(parts, sizes, strict=True)])
    visible = tuple(np.split(visibility.visible, np.cumsum(sizes)[:-1]))
    return Transfer(visible, albedo, ((1.0, gather),))


@cache
def _solid_angles(count: int) -> FloatArray:
    """`(count,)` sr of the light map that each direction stands for."""
    angles: FloatArray = to_lobes(np.ones((ROWS, COLUMNS, 3), np.float32), count)[:, 0]
    return angles


def _direct(visible: Shares, normals: FloatArray, lobes: FloatArray) -> FloatArray:
    """Irradiance `(V, N)` for energies `(L, N)`.

    Constant radiance gives exactly pi where nothing is hidden.
    """
    weight = mean_cosine(normals @ sphere_directions(len(lobes)).T, len(lobes))
    weight *= math.pi / (weight @ _solid_angles(len(lobes)))[:, None]
    weight *= visible
    result: FloatArray = weight @ (lobes / np.float32(255))
    return result


def _albedo(part: Part, count: int) -> FloatArray:
    """Linear RGB `(count, 3)` of a part's vertices, from a coarse copy of its texture."""
    if part.coat:
        return np.zeros((count, 3), np.float32)
    texture = cv2.resize(part.texture, (64, 64), interpolation=cv2.INTER_AREA)
    x = np.clip(part.uvs[:, 0] * 64, 0, 63).astype(int)
    y = np.clip((1 - part.uvs[:, 1]) * 64, 0, 63).astype(int)
    albedo = np.zeros((count, 3), np.float32)
    albedo[part.source] = DECODE_8BIT[texture[y, x, :3]]
    return albedo
