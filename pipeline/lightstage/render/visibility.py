"""Which directions the vertices of a posed person see, by ray tracing with embree."""

import math
from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.light_map import sphere_directions
from vcam_relight.pipeline.lightstage.core.scene import Label, Part, Posed

Shares = NDArray[np.uint8]
"""`(V, L)`: 255 where nothing hides the direction's cell from the vertex."""

# Rays start this far off the surface along the normal, dm. Hair's cards cross each other and the
# scalp; leaving them further avoids black specks.
_OFFSET = 0.005
_HAIR_OFFSET = 0.08
# Rays leave at least this far above the horizon (sine): cells may reach below it.
_LOWEST = 0.03
# Further rays into a cell whose neighbour is hidden otherwise.
_RING = 3
# What a ray meets instead of a vertex: nothing, or the back of a surface, which sends no light.
_OPEN, _BACK = -1, -2
# Vertices that see less than this share of all directions are hidden inside something; so many
# rings of them take after their neighbours.
_BURIED = 0.01
_SPREAD = 2
# Rays traced at once, which bounds the memory.
_BATCH = 1 << 19


def cell_reach(count: int) -> float:
    """How far from the horizon, as a cosine, a cell of `count` directions may be cut by it."""
    return math.sqrt(2 / count)


@dataclass(frozen=True)
class VertexVisibility:
    """What each vertex sees, of all parts in one."""

    visible: Shares
    vertex: NDArray[np.int64]
    """`(N,)` of each ray that met a surface lit by a vertex: where it started,"""
    lobe: NDArray[np.int64]
    """its direction,"""
    met: NDArray[np.int32]
    """and the vertex nearest to where it ended."""


def trace_visibility(parts: tuple[Part, ...], posed: Posed, count: int) -> VertexVisibility:
    """Traces a ray along each direction above each vertex's horizon, more where shadows begin.

    Args:
        parts: all that is drawn.
        posed: one moment.
        count: of `sphere_directions`.
    """
    blockers = _Blockers.of(parts, posed)
    normals = np.concatenate(posed.normals)
    sizes = [len(positions) for positions in posed.positions]
    offsets = np.repeat([_HAIR_OFFSET if part.hair else _OFFSET for part in parts], sizes)
    origins = np.concatenate(posed.positions) + offsets.astype(np.float32)[:, None] * normals
    directions = sphere_directions(count)
    pair = np.flatnonzero(normals @ directions.T > -cell_reach(count))
    vertex, lobe = pair // count, pair % count
    met = np.empty(len(pair), np.int32)
    for start in range(0, len(pair), _BATCH):
        rows = slice(start, start + _BATCH)
        v, rays = vertex[rows], directions[lobe[rows]]
        met[rows] = blockers.nearest(origins[v], _above(rays, normals[v]))
    visible = np.zeros((len(normals), count), np.uint8)
    visible[vertex, lobe] = (met == _OPEN) * np.uint8(255)
    _soften(visible, vertex, lobe, blockers, origins, normals)
    _spread(parts, posed, visible)
    _lend(parts, posed, visible)
    lit = met >= 0
    return VertexVisibility(visible, vertex[lit], lobe[lit], met[lit])


@dataclass(frozen=True)
class _Blockers:
    """What casts shadows."""

    scene: EmbreeScene
    corners: NDArray[np.int32]
    """`(T, 3)` vertices of its triangles, counted over all parts."""
    firsts: NDArray[np.int64]
    """Per geometry of embree, its first triangle."""
    thin: NDArray[np.bool_]
    """Per geometry, whether both of its sides are lit by the vertices' light: hair."""

    @classmethod
    def of(cls, parts: tuple[Part, ...], posed: Posed) -> "_Blockers":
        scene = EmbreeScene()
        corners, thin, vertices = [np.zeros((0, 3), np.int32)], [], 0
        for part, positions in zip(parts, posed.positions, strict=True):
            triangles = part.source[part.triangles[part.blocks_light]].astype(np.int32)
            # Brows and lashes would leave blots on the skin, as wide as its vertices are apart.
            if len(triangles) and part.label != Label.BROWS:
                TriangleMesh(scene, np.ascontiguousarray(positions, np.float32), triangles)
                corners.append(triangles + np.int32(vertices))
                thin.append(part.hair)
            vertices += len(positions)
        firsts = np.cumsum([len(c) for c in corners])[:-1]
        return cls(
            scene,
            np.concatenate([*corners, np.zeros((1, 3), np.int32)]),
            firsts,
            np.array(thin, bool),
        )

    def nearest(self, origins: FloatArray, rays: FloatArray) -> NDArray[np.int32]:
        """The vertex nearest to where each ray hits, `_OPEN` or, for backs, `_BACK`."""
        found = self.scene.run(origins, rays, output=True)
        geometry = np.maximum(found["geomID"], 0)
        triangle = np.append(self.firsts, 0)[geometry] + np.maximum(found["primID"], 0)
        u, v = found["u"], found["v"]
        corner = np.argmax(np.stack([1 - u - v, u, v], 1), axis=1)
        vertex: NDArray[np.int32] = self.corners[triangle, corner]
        back = np.einsum("nc,nc->n", found["Ng"], rays) > 0
        vertex[back & ~np.append(self.thin, False)[geometry]] = _BACK
        vertex[found["primID"] < 0] = _OPEN
        return vertex

    def hidden(self, origins: FloatArray, rays: FloatArray) -> NDArray[np.bool_]:
        """Whether each ray hits anything."""
        result: NDArray[np.bool_] = self.scene.run(origins, rays, query="OCCLUDED") >= 0
        return result


def _above(rays: FloatArray, normals: FloatArray) -> FloatArray:
    """Rays turned up to leave the surface; embree needs no unit length."""
    lift = np.maximum(_LOWEST - np.einsum("nc,nc->n", rays, normals), 0)
    lifted: FloatArray = rays + lift[:, None] * normals
    return lifted


def _soften(
    visible: Shares,
    vertex: NDArray[np.intp],
    lobe: NDArray[np.intp],
    blockers: _Blockers,
    origins: FloatArray,
    normals: FloatArray,
) -> None:
    """Traces more of the cells at the edge of what is hidden, in place: their shadows are soft."""
    count = visible.shape[1]
    directions = sphere_directions(count)
    near = np.argsort(-(directions @ directions.T), axis=1)[:, 1:7]
    cosine = normals @ directions.T
    shown, inside = visible > 0, cosine > 0
    edge = np.zeros_like(shown)
    for neighbour in near.T:
        edge |= (shown != shown[:, neighbour]) & inside[:, neighbour]
    chosen = edge[vertex, lobe]
    vertex, lobe = vertex[chosen], lobe[chosen]
    clear = shown[vertex, lobe].astype(np.float32)
    for ray in _ring(directions):
        for start in range(0, len(vertex), _BATCH):
            rows = slice(start, start + _BATCH)
            v = vertex[rows]
            rays = _above(ray[lobe[rows]], normals[v])
            clear[rows] += ~blockers.hidden(origins[v], rays)
    visible[vertex, lobe] = np.round(clear * (255 / (1 + _RING))).astype(np.uint8)


def _spread(parts: tuple[Part, ...], posed: Posed, visible: Shares) -> None:
    """Lets vertices that see nothing take after neighbours that do, in place.

    Those below a collar's edge see nothing; triangles between the two would be half as bright in
    plain view.
    """
    firsts = np.cumsum([0] + [len(positions) for positions in posed.positions])
    corners = np.concatenate(
        [
            part.source[part.triangles] + first
            for part, first in zip(parts, firsts[:-1], strict=True)
        ]
    )
    ends = corners[:, [0, 1, 2, 1, 2, 0]].ravel(), corners[:, [1, 2, 0, 0, 1, 2]].ravel()
    near = sparse.csr_array((np.ones(len(ends[0]), np.float32), ends), shape=(firsts[-1],) * 2)
    known = visible.mean(1) >= _BURIED * 255
    for _ in range(_SPREAD):
        sums = near @ known.astype(np.float32)
        edge = np.flatnonzero(~known & (sums > 0))
        share = near[edge] @ sparse.diags_array(known.astype(np.float32))
        visible[edge] = np.round((share @ visible.astype(np.float32)) / sums[edge, None])
        known[edge] = True


def _lend(parts: tuple[Part, ...], posed: Posed, visible: Shares) -> None:
    """Brows and lashes lie on the skin, in and out of it: they see what the skin below sees."""
    ends = np.cumsum([len(positions) for positions in posed.positions])
    rows = [np.arange(end - len(p), end) for end, p in zip(ends, posed.positions, strict=True)]

    def of(label: Label) -> NDArray[np.int64]:
        chosen = [r for r, part in zip(rows, parts, strict=True) if part.label == label]
        return np.concatenate([*chosen, np.zeros(0, np.int64)]).astype(np.int64)

    skin, brows = of(Label.SKIN), of(Label.BROWS)
    if len(skin) and len(brows):
        positions = np.concatenate(posed.positions)
        _, nearest = cKDTree(positions[skin]).query(positions[brows])
        visible[brows] = visible[skin[nearest]]


def _ring(directions: FloatArray) -> list[FloatArray]:
    """`_RING` times `(L, 3)`: directions around the middle of each cell."""
    helper = np.where(np.abs(directions[:, 1:2]) < 0.9, [[0, 1, 0]], [[1, 0, 0]])
    across = np.cross(directions, helper)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    up = np.cross(directions, across)
    radius = 0.7 * 2 / math.sqrt(len(directions))
    turn = np.arange(len(directions)) * 2.4  # another for each cell, lest stairs line up
    rays = []
    for k in range(_RING):
        angle = (turn + 2 * math.pi * k / _RING)[:, None]
        ray = directions + radius * (np.cos(angle) * across + np.sin(angle) * up)
        rays.append(ray.astype(np.float32))
    return rays
