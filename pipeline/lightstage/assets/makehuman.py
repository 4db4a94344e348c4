"""MakeHuman data: the base mesh, its morph targets and the .mhclo fitting rules."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcam_relight.pipeline.lightstage.core.wavefront import read_obj

# Vertices of the base mesh from here on are helpers that garments are fitted to.
FIRST_HELPER = 13380


@dataclass(frozen=True)
class Target:
    """A morph target: displacement (N, 3) in dm of the vertices `index` (N,)."""

    index: np.ndarray
    delta: np.ndarray


def read_target(path: Path) -> Target:
    """Read a `.target` or `.target.gz` file."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("latin-1")
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    rows = [row for row in rows if len(row) == 4]
    index = np.array([int(row[0]) for row in rows], dtype=int)
    delta = np.array([[float(x) for x in row[1:]] for row in rows]).reshape(-1, 3)
    return Target(index, delta)


def apply_target(positions: np.ndarray, target: Target, weight: float) -> None:
    """Add `weight` times the target to base mesh `positions` (V, 3), in place."""
    positions[target.index] += weight * target.delta


@dataclass(frozen=True)
class Garment:
    """An asset fitted to the base mesh: each vertex hangs on a base triangle.

    faces, uv_faces: (F, 4) quads into its own vertices and into `uvs` (T, 2).
    triangles: (V, 3) base vertices; weights: (V, 3) barycentric weights.
    offsets: (V, 3) displacement in dm, scaled per axis by `scale`.
    scale: axis -> (base vertex, base vertex, reference distance in dm).
    hidden: base vertices that the garment covers.
    """

    faces: np.ndarray
    uvs: np.ndarray
    uv_faces: np.ndarray
    triangles: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    scale: dict[int, tuple[int, int, float]]
    hidden: np.ndarray

    def fit(self, base: np.ndarray) -> np.ndarray:
        """Vertex positions (V, 3) in dm on base mesh positions `base`."""
        fitted: np.ndarray = self.interpolate(base) + self.scaled_offsets(base)
        return fitted

    def scaled_offsets(self, base: np.ndarray) -> np.ndarray:
        """Displacement (V, 3) in dm from the base triangles, at the size of `base`."""
        offsets = self.offsets.copy()
        for axis, (first, second, reference) in self.scale.items():
            offsets[:, axis] *= abs(base[first, axis] - base[second, axis]) / reference
        return offsets

    def interpolate(self, values: np.ndarray) -> np.ndarray:
        """Carry per-vertex base mesh values (B, C) over to the asset (V, C)."""
        carried: np.ndarray = np.einsum("vk,vkc->vc", self.weights, values[self.triangles])
        return carried


def read_garment(path: Path) -> Garment:
    """Read a `.mhclo` file and the OBJ mesh that it names."""
    rows: list[list[float]] = []
    hidden: list[int] = []
    scale: dict[int, tuple[int, int, float]] = {}
    mesh_name = ""
    section = ""
    for line in path.read_text(encoding="latin-1").splitlines():
        words = line.split()
        if not words or words[0] == "#":
            continue
        if words[0] in ("x_scale", "y_scale", "z_scale"):
            scale["xyz".index(words[0][0])] = (int(words[1]), int(words[2]), float(words[3]))
        elif words[0] == "obj_file":
            mesh_name = words[1]
        elif words[0] in ("verts", "delete_verts", "weights"):
            section = words[0]
        elif section == "verts" and len(words) == 1:
            rows.append([float(words[0])] * 3 + [1, 0, 0, 0, 0, 0])
        elif section == "verts" and len(words) >= 9:
            rows.append([float(x) for x in words[:9]])
        elif section == "delete_verts":
            hidden += _expand_ranges(words)
    table = np.array(rows)
    mesh = read_obj(path.parent / mesh_name)
    return Garment(
        mesh.faces,
        mesh.uvs,
        mesh.uv_faces,
        table[:, :3].astype(int),
        table[:, 3:6],
        table[:, 6:9],
        scale,
        np.array(hidden, dtype=int),
    )


def _expand_ranges(words: list[str]) -> list[int]:
    """Expand `3 7 - 9` to [3, 7, 8, 9]."""
    numbers: list[int] = []
    for position, word in enumerate(words):
        if word == "-":
            numbers += range(numbers[-1] + 1, int(words[position + 1]))
        else:
            numbers.append(int(word))
    return numbers
