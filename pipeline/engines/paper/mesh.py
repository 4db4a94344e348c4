"""The head as a mesh: density on a grid, marching cubes, and files of both.

Needs the extra `mesh` (scikit-image, mrcfile).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray

if TYPE_CHECKING:
    from vcam_relight.pipeline.engines.paper.renderer import Field

LEVEL = 10.0
"""Density, before softplus, at which EG3D puts the surface."""
_HALF = 0.5
"""The cube reaches from -0.5 to 0.5 along each axis of the world."""
_MARGIN = 4
"""Cells at the faces of the cube that are emptied: planes that are cut off there would close it."""
_EMPTY = -1000.0


@torch.inference_mode()
def density_grid(field: "Field", size: int = 256) -> FloatArray:
    """The density of the whole cube.

    Returns:
        `(size, size, size)` before softplus, by x, y, z from -0.5 to 0.5; its faces are empty.
    """
    axis = torch.linspace(-_HALF, _HALF, size, device=field.device)
    grid = torch.full((size, size, size), _EMPTY)
    inner = slice(_MARGIN, -_MARGIN)
    for i in range(_MARGIN, size - _MARGIN):  # a slice at a time bounds the memory
        x, y, z = torch.meshgrid(axis[i : i + 1], axis[inner], axis[inner], indexing="ij")
        points = torch.stack([x, y, z], -1).view(-1, 3)
        grid[i, inner, inner] = field.density(points).view(y.shape[1:]).cpu()
    return grid.numpy()


def surface(density: FloatArray, level: float = LEVEL) -> tuple[FloatArray, NDArray[np.int32]]:
    """The surface where a grid of `density_grid` passes `level` (Lewiner et al. 2003).

    Returns:
        `(n, 3)` positions in the world and `(m, 3)` triangles, counter-clockwise from outside.

    Raises:
        ValueError: nothing in the grid passes the level.
    """
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise _extra(error) from error
    low, high = float(density.min()), float(density.max())
    if not low < level < high:
        raise ValueError(
            f"no surface: the density is between {low:.3g} and {high:.3g}, the level is {level:g}"
        )
    vertices, faces, _, _ = marching_cubes(density, level, gradient_direction="ascent")  # type: ignore[no-untyped-call]
    vertices = vertices / (density.shape[0] - 1) * (2 * _HALF) - _HALF
    return vertices.astype(np.float32), faces.astype(np.int32)


def write_mesh(path: Path, vertices: FloatArray, faces: NDArray[np.int32]) -> None:
    """Writes positions and triangles as Wavefront .obj or as binary .ply.

    Raises:
        ValueError: the name ends otherwise.
    """
    if path.suffix == ".obj":
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices.tolist()]
        lines += [f"f {a} {b} {c}\n" for a, b, c in (faces + 1).tolist()]
        path.write_text("".join(lines), encoding="ascii")
    elif path.suffix == ".ply":
        header = (
            "ply\nformat binary_little_endian 1.0\n"
            f"element vertex {len(vertices)}\n"
            "property float x\nproperty float y\nproperty float z\n"
            f"element face {len(faces)}\n"
            "property list uchar int vertex_indices\nend_header\n"
        )
        triangles = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
        triangles["count"], triangles["corners"] = 3, faces
        body = vertices.astype("<f4").tobytes() + triangles.tobytes()
        path.write_bytes(header.encode("ascii") + body)
    else:
        raise ValueError(f"meshes are written as .obj or .ply, not as {path.name}")


def write_density(path: Path, density: FloatArray) -> None:
    """Writes a grid of `density_grid` as .mrc (MRC2014): its columns are x, its sections z."""
    try:
        import mrcfile
    except ImportError as error:
        raise _extra(error) from error
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(np.ascontiguousarray(density.transpose(2, 1, 0)))
        file.voxel_size = 2 * _HALF / (density.shape[0] - 1)


def _extra(error: ImportError) -> RuntimeError:
    return RuntimeError(
        f"meshes need {error.name}: install it with pip install 'vcam-relight[mesh]'"
    )
