"""Catmull-Clark subdivision as a sparse matrix, so that a posed mesh refines by one product."""

import numpy as np
from scipy import sparse


def catmull_clark(faces: np.ndarray, vertex_count: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """One level of Catmull-Clark on quads `faces` (F, 4).

    Returns the operator (V', V), to be applied to positions (V, 3), and the
    refined quads (4F, 4). Open edges keep their curve.
    """
    edges, face_edges, edge_uses = _edges(faces)
    edge_count, face_count = len(edges), len(faces)
    face_points = _incidence(faces, vertex_count) / 4

    midpoints = _incidence(edges, vertex_count) / 2
    face_of_edge = _incidence(face_edges, edge_count).T / 2  # (E, F)
    smooth_edges = midpoints / 2 + face_of_edge @ face_points / 2
    border = edge_uses == 1
    edge_points = _select(border, midpoints, smooth_edges)

    face_of_vertex = _incidence(faces, vertex_count).T
    edge_of_vertex = _incidence(edges, vertex_count).T
    valence = np.maximum(np.asarray(edge_of_vertex.sum(1)).ravel(), 1)
    face_valence = np.maximum(np.asarray(face_of_vertex.sum(1)).ravel(), 1)
    identity = sparse.identity(vertex_count, format="csr")
    inner = (
        sparse.diags(1 / (face_valence * valence)) @ face_of_vertex @ face_points
        + sparse.diags(2 / valence**2) @ edge_of_vertex @ midpoints
        + sparse.diags((valence - 3) / valence) @ identity
    )
    border_edges = sparse.diags(border.astype(float)) @ _incidence(edges, vertex_count)
    border_neighbours = edge_of_vertex @ border_edges - sparse.diags(
        edge_of_vertex @ border.astype(float)
    )
    on_border = edge_of_vertex @ border.astype(float) > 0
    vertex_points = _select(on_border, identity * 0.75 + border_neighbours / 8, inner)

    operator = sparse.vstack([vertex_points, edge_points, face_points]).tocsr()
    return operator, _split(faces, face_edges, vertex_count, edge_count, face_count)


def subdivide_uvs(uvs: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split texture coordinates (T, 2) with quads (F, 4) linearly, in the same face order."""
    edges, face_edges, _ = _edges(faces)
    refined = np.concatenate([uvs, uvs[edges].mean(1), uvs[faces].mean(1)])
    return refined, _split(faces, face_edges, len(uvs), len(edges), len(faces))


def _edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unique edges (E, 2), the edges of each face (F, 4) and each edge's number of faces."""
    pairs = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2), axis=1)
    edges, inverse, uses = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    return edges, inverse.reshape(-1, 4), uses


def _incidence(index: np.ndarray, columns: int) -> sparse.csr_matrix:
    """(N, columns) matrix with a one for each entry of `index` (N, K)."""
    rows = np.repeat(np.arange(len(index)), index.shape[1])
    ones = np.ones(index.size)
    return sparse.csr_matrix((ones, (rows, index.ravel())), shape=(len(index), columns))


def _select(
    mask: np.ndarray, where_true: sparse.csr_matrix, where_false: sparse.csr_matrix
) -> sparse.csr_matrix:
    """Rows of one matrix or the other, by `mask`."""
    keep = mask.astype(float)
    return (sparse.diags(keep) @ where_true + sparse.diags(1 - keep) @ where_false).tocsr()


def _split(
    faces: np.ndarray, face_edges: np.ndarray, vertices: int, edges: int, count: int
) -> np.ndarray:
    """The four quads (4F, 4) of every face around its centre point."""
    edge = vertices + face_edges
    centre = (vertices + edges + np.arange(count))[:, None]
    corners = [
        np.hstack([faces[:, [k]], edge[:, [k]], centre, edge[:, [(k - 1) % 4]]]) for k in range(4)
    ]
    return np.stack(corners, axis=1).reshape(-1, 4)
