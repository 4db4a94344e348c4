"""Carries ICT-FaceKit's identity modes onto MakeHuman's base mesh.

ICT-FaceKit (Li et al. 2020, MIT) has 100 modes of face shape, learnt from scanned faces. A table
gives MakeHuman texture coordinates for the vertices of its face, so each vertex of the base mesh
reads its displacement there. What the table does not reach (the lips' inside, eye sockets) takes
the smoothest continuation; ears, scalp and neck stay.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.interpolate import LinearNDInterpolator
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.lightstage.assets.makehuman import FIRST_HELPER
from vcam_relight.pipeline.lightstage.core.wavefront import ObjMesh, triangulate

Reals = NDArray[np.float64]

_FACE = 9409  # the first vertices of ICT's mesh are its face
_EYEBALLS = ((21451, 23021), (23021, 24591))
# Correspondences further from MakeHuman's surface than this are not trusted, dm.
_TRUSTED = 0.15
# A texture coordinate is read if a correspondence lies this near.
_REACH = 0.008
_LOWEST_HELPER = 5.0  # dm


@dataclass(frozen=True)
class CarriedModes:
    """`index` (K,) base vertices and their `deltas` (100, K, 3) in dm."""

    index: NDArray[np.int32]
    deltas: Reals


NO_MODES = CarriedModes(np.zeros(0, np.int32), np.zeros((100, 0, 3)))
"""For a pack without ICT-FaceKit's data."""


def carry_modes(folder: Path, mesh: ObjMesh, eyes: Reals, eye_radius: float) -> CarriedModes:
    """Reads ICT's files in `folder` and brings their modes onto `mesh`.

    mesh: MakeHuman's base mesh. eyes: (2, 3) its eyeballs' centres, left and right, in dm;
    eye_radius: of both, dm.

    Raises:
        OSError, KeyError, ValueError: the files are missing or not those that are meant.
    """
    with np.load(folder / "ict_light.npz", allow_pickle=False) as archive:
        template, modes = archive["V"].astype(np.float64), archive["id"].astype(np.float64)
    with np.load(folder / "ict_to_mh_uv.npz", allow_pickle=False) as archive:
        uv, distance = archive["uv"][:_FACE], archive["dist"][:_FACE]
    good = np.flatnonzero(distance < _TRUSTED)
    vertex, at = _reached(mesh, uv[good])
    table = np.concatenate([template[None, good], modes[:, good]]).transpose(1, 0, 2)
    read = LinearNDInterpolator(uv[good], table.reshape(len(good), -1))(at)
    known = np.isfinite(read[:, 0])
    vertex = vertex[known]
    read = read[known].reshape(len(vertex), -1, 3).transpose(1, 0, 2)

    places = mesh.positions[vertex]
    share = _share(places)
    rotation, size = _similarity(read[0], places, share)
    deltas = size * read[1:] @ rotation.T
    balls = np.stack([modes[:, low:high].mean(1) for low, high in _EYEBALLS], axis=1)
    if template[slice(*_EYEBALLS[0]), 0].mean() < 0:
        balls = balls[:, ::-1]
    balls = size * balls @ rotation.T
    # Where the whole head is, how it is turned and how large it is are others' concern.
    motion = _rigid_motion(places, deltas, share)
    deltas = (deltas - _apply(motion, places)) * share[:, None]
    balls = balls - _apply(motion, eyes)

    values = np.zeros((len(mesh.positions), deltas.shape[0] * 3))
    values[vertex] = deltas.transpose(1, 0, 2).reshape(len(vertex), -1)
    _continue_skin(mesh, values, vertex)
    _continue_helpers(mesh, values)
    for side, centre, ball in zip("lr", eyes, balls.transpose(1, 0, 2), strict=True):
        _move_eye(mesh, values, side, centre, eye_radius, ball.reshape(-1))
    moved = np.flatnonzero(np.abs(values).max(1) > 1e-4).astype(np.int32)
    return CarriedModes(moved, values[moved].reshape(len(moved), -1, 3).transpose(1, 0, 2))


def _reached(mesh: ObjMesh, uv: Reals) -> tuple[NDArray[np.int64], Reals]:
    """Vertices of the body (N,) near the table's entries, and their texture coordinates (N, 2)."""
    body = mesh.groups == "body"
    pairs = np.stack([mesh.faces[body].ravel(), mesh.uv_faces[body].ravel()], axis=1)
    near, _ = cKDTree(uv).query(mesh.uvs[pairs[:, 1]])
    pairs = pairs[near < _REACH]
    vertex, first = np.unique(pairs[:, 0], return_index=True)
    return vertex, mesh.uvs[pairs[first, 1]]


def _share(places: Reals) -> Reals:
    """1 on the face .. 0 towards ears, scalp and neck (N,) of template `places` (N, 3)."""
    _, y, z = places.T
    ahead = smoothstep(0.45, 1.0, z) * smoothstep(8.3, 7.9, y)
    share: Reals = (ahead * smoothstep(5.9, 6.25, y + 0.25 * (z - 1.2))).astype(np.float64)
    return share


def _similarity(source: Reals, target: Reals, weights: Reals) -> tuple[Reals, float]:
    """Rotation and scale of the best similarity (Umeyama 1991)."""
    weights = weights / float(weights.sum())
    a, b = source - weights @ source, target - weights @ target
    u, stretch, vt = np.linalg.svd((b * weights[:, None]).T @ a)
    sign = float(np.sign(np.linalg.det(u @ vt)))
    u[:, -1] *= sign
    stretch[-1] *= sign
    return u @ vt, float(stretch.sum() / (weights @ (a**2).sum(1)))


def _basis(places: Reals) -> Reals:
    """Displacements (N, 3, 7) of `places` by translations, small rotations and scaling."""
    basis = np.zeros((len(places), 3, 7))
    x, y, z = (places - (0.0, 7.0, 1.0)).T
    basis[:, range(3), range(3)] = 1
    basis[:, 1, 3], basis[:, 2, 3] = -z, y
    basis[:, 0, 4], basis[:, 2, 4] = z, -x
    basis[:, 0, 5], basis[:, 1, 5] = -y, x
    basis[:, :, 6] = np.stack([x, y, z], axis=1)
    return basis


def _rigid_motion(places: Reals, deltas: Reals, weights: Reals) -> Reals:
    """What of each mode (M, 7) moves, turns or scales the face as a whole."""
    root = np.sqrt(weights)
    matrix = (_basis(places) * root[:, None, None]).reshape(-1, 7)
    values = (deltas * root[:, None]).reshape(len(deltas), -1)
    return np.linalg.lstsq(matrix, values.T, rcond=None)[0].T.astype(np.float64)


def _apply(motion: Reals, places: Reals) -> Reals:
    result: Reals = np.einsum("vcp,mp->mvc", _basis(places), motion)
    return result


def _continue_skin(mesh: ObjMesh, values: Reals, known: NDArray[np.int64]) -> None:
    """Harmonic continuation of displacements (V, C) to the body's other vertices, in place."""
    body = np.unique(mesh.faces[mesh.groups == "body"])
    fixed = np.zeros(len(values), bool)
    fixed[known] = True
    fixed[body[_share(mesh.positions[body]) == 0]] = True
    free = body[~fixed[body]]
    corners = triangulate(mesh.faces[mesh.groups == "body"])
    rows, columns = corners.ravel(), np.roll(corners, -1, axis=1).ravel()
    shape = (len(values), len(values))
    links = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    links = links + links.T
    links.setdiag(0)
    links.data[:] = np.minimum(links.data, 1)
    # The small addition keeps pieces without a fixed vertex solvable: they stay.
    degree = np.asarray(links.sum(1)).ravel() + 1e-9
    laplacian = (sparse.diags(degree) - links).tocsr()[free]
    held = np.flatnonzero(fixed)
    values[free] = splu(laplacian[:, free].tocsc()).solve(-(laplacian[:, held] @ values[held]))


def _continue_helpers(mesh: ObjMesh, values: Reals) -> None:
    """Helpers take after the skin around them, in place: the further off, the more of it."""
    body = np.unique(mesh.faces[mesh.groups == "body"])
    helpers = np.arange(FIRST_HELPER, len(values))
    helpers = helpers[mesh.positions[helpers, 1] > _LOWEST_HELPER]
    distance, index = cKDTree(mesh.positions[body]).query(mesh.positions[helpers], k=24)
    weight = 1 / (distance + 0.02) ** 2
    weight /= weight.sum(1, keepdims=True)
    for k in range(weight.shape[1]):
        values[helpers] += weight[:, k, None] * values[body[index[:, k]]]


def _move_eye(
    mesh: ObjMesh, values: Reals, side: str, centre: Reals, radius: float, ball: Reals
) -> None:
    """The eyeball, and the socket behind it, move as one, in place."""
    for group in (f"helper-{side}-eye", f"joint-{side}-eye"):
        values[np.unique(mesh.faces[mesh.groups == group])] = ball
    reach = np.linalg.norm(mesh.positions - centre, axis=1) / radius
    inside = np.flatnonzero(reach[:FIRST_HELPER] < 0.97)
    values[inside] = ball
