"""Reads Wavefront OBJ text: positions, texture coordinates, quad faces and their groups."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


class Grouped(Protocol):
    """A mesh whose faces are in named groups."""

    @property
    def faces(self) -> np.ndarray:
        """`(F, 4)` quads."""

    @property
    def groups(self) -> np.ndarray:
        """`(F,)` name of each face's group."""


@dataclass(frozen=True)
class ObjMesh:
    """A polygon mesh as stored in an OBJ file.

    positions: (V, 3) float64, file units (decimetres for MakeHuman).
    uvs: (T, 2) float64, origin at the lower left.
    faces, uv_faces: (F, 4) int indices; a triangle repeats its last corner.
    groups: (F,) group name of each face.
    """

    positions: np.ndarray
    uvs: np.ndarray
    faces: np.ndarray
    uv_faces: np.ndarray
    groups: np.ndarray


def read_obj(path: Path) -> ObjMesh:
    """Read the OBJ file at `path`; faces must have three or four corners."""
    positions: list[list[float]] = []
    uvs: list[list[float]] = []
    faces: list[list[int]] = []
    uv_faces: list[list[int]] = []
    groups: list[str] = []
    group = ""
    for line in path.read_text(encoding="latin-1").splitlines():
        key, _, rest = line.partition(" ")
        if key == "v":
            positions.append([float(x) for x in rest.split()[:3]])
        elif key == "vt":
            uvs.append([float(x) for x in rest.split()[:2]])
        elif key == "g":
            group = rest.strip()
        elif key == "f":
            corners = [corner.split("/") for corner in rest.split()]
            if not 3 <= len(corners) <= 4:
                raise ValueError(f"{path}: face with {len(corners)} corners")
            corners += corners[-1:] * (4 - len(corners))
            faces.append([int(c[0]) - 1 for c in corners])
            has_uv = len(corners[0]) > 1 and corners[0][1] != ""
            uv_faces.append([int(c[1]) - 1 if has_uv else 0 for c in corners])
            groups.append(group)
    return ObjMesh(
        np.array(positions),
        np.array(uvs if uvs else [[0.0, 0.0]]),
        np.array(faces),
        np.array(uv_faces),
        np.array(groups),
    )


def triangulate(quads: np.ndarray) -> np.ndarray:
    """Split (F, 4) quads into (N, 3) triangles, keeping the degenerate halves.

    The order is that of the quads, two triangles each, so position and uv
    faces stay aligned.
    """
    return quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
