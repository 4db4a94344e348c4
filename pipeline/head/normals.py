"""A surface normal for each pixel of a person, from face landmarks and the person mask.

On the face the normals are the mesh's. Around it they pass smoothly into those of an ellipsoid
about the head (hair, ears, neck) and of the mask blown up like a cushion (shoulders, hands).
"""

from functools import cache

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.face.models import load_triangles
from vcam_relight.pipeline.face.types import FaceState

GRID_SIDE = 256
"""Longer side of normal maps and shading, in pixels: shading is smooth, edges come later."""
_COARSE = 4
"""What surrounds the face is drawn on a grid this many times coarser."""
_CELLS_PER_ROW = 12
"""Each mesh triangle is drawn as rows of points, one row for so many cells of the face's width: at
least 4 rows, which are 10 points."""
_CHIN, _FOREHEAD, _RIGHT_EAR, _LEFT_EAR = 152, 10, 234, 454


def grid_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the grid for a picture of that size."""
    scale = min(1.0, GRID_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


class NormalMapper:
    """Draws normal maps. Holds the mesh's topology only, no state of any stream."""

    def __init__(self) -> None:
        self._triangles = load_triangles()

    def normals(self, state: FaceState, mask: Map) -> tuple[FloatArray, Map]:
        """Normals for one frame.

        Args:
            state: faces in pixels of the frame.
            mask: `(h, w)` the persons' share on the grid of `grid_size`.

        Returns:
            `(h, w, 3)` unit normals in camera space, defined everywhere, and `(h, w)` 0..1: where
            they are the face mesh's own.
        """
        height, width = mask.shape
        scale = np.float32(width / state.size[0])
        faces = [(face.landmarks * scale, np.float32(face.weight)) for face in state.faces]
        normals = resize(_surroundings(faces, mask), (width, height))
        face_share = np.zeros((height, width), np.float32)
        for landmarks, weight in faces:
            margin = 0.35 * float(np.ptp(landmarks[:, 0])) + 2
            left, top = np.floor(landmarks[:, :2].min(axis=0) - margin).astype(int)
            right, bottom = np.ceil(landmarks[:, :2].max(axis=0) + margin).astype(int)
            left, top = max(left, 0), max(top, 0)
            right, bottom = min(right, width), min(bottom, height)
            if right - left < 4 or bottom - top < 4:
                continue
            window = np.s_[top:bottom, left:right]
            local = landmarks - np.array([left, top, 0], np.float32)
            own, own_share, soft = self._face(local, right - left, bottom - top)
            normals[window] += (own - normals[window]) * (soft * weight)[..., None]
            face_share[window] = np.maximum(face_share[window], own_share)
        return _unit(normals), face_share

    def _face(self, landmarks: FloatArray, width: int, height: int) -> tuple[FloatArray, Map, Map]:
        """Normals of one face spread beyond its edge, where they are its own, and how much they
        count when blended.
        """
        face_width = float(np.ptp(landmarks[:, 0])) + 1.0
        points, normals = self._sample(landmarks, max(4, round(face_width / _CELLS_PER_ROW)))
        x, y = np.floor(points[:, 0]).astype(np.int64), np.floor(points[:, 1]).astype(np.int64)
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (normals[:, 2] > 0.02)
        index = y[seen] * width + x[seen]
        normals = normals[seen]
        size = width * height
        drawn = np.empty((size, 4), np.float32)
        for channel in range(3):
            drawn[:, channel] = np.bincount(index, normals[:, channel], size)
        drawn[:, 3] = np.bincount(index, minlength=size)
        # Density differs between small and large triangles: a mean per pixel, counted once.
        drawn /= np.maximum(drawn[:, 3:], 1.0)
        image = drawn.reshape(height, width, 4)
        fine = cv2.GaussianBlur(image, (0, 0), max(0.8, face_width * 0.012))
        wide = _wide_blur(image, max(1.5, face_width * 0.10))
        covered = np.clip(fine[..., 3] * 2.0, 0.0, 1.0)
        soft = np.clip(wide[..., 3] * 1.6 - 0.15, 0.0, 1.0)
        own = _unit(fine[..., :3] + wide[..., :3] * 0.02)
        return own, covered, np.maximum(covered * soft, soft * soft)

    def _sample(self, landmarks: FloatArray, rows: int) -> tuple[FloatArray, FloatArray]:
        """`(n, 2)` points all over the mesh and their `(n, 3)` normals in camera space."""
        corners = landmarks[self._triangles]
        faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        vertex = np.zeros_like(landmarks)
        flat = self._triangles.T.reshape(-1)
        for axis, sign in enumerate((1.0, -1.0, -1.0)):  # y down, z away: y up, z to the camera
            weights = np.tile(faces[:, axis], 3)
            vertex[:, axis] = sign * np.bincount(flat, weights, len(landmarks))
        both = np.concatenate([landmarks[:, :2], _unit(vertex)], axis=1)
        # (3 corners, triangles x 5): one product makes all samples
        spread = both[self._triangles].transpose(1, 0, 2).reshape(3, -1)
        samples = (_samples(rows) @ spread).reshape(-1, 5)
        return samples[:, :2], samples[:, 2:]


def surroundings(state: FaceState, mask: Map) -> FloatArray:
    """Normals of bodies, and of heads without what is known of their faces.

    Args:
        state: faces in pixels of the frame.
        mask: `(h, w)` the persons' share on the grid of `grid_size`.

    Returns:
        `(h / 4, w / 4, 3)` unit normals in camera space.
    """
    scale = np.float32(mask.shape[1] / state.size[0])
    faces = [(face.landmarks * scale, np.float32(face.weight)) for face in state.faces]
    return _unit(_surroundings(faces, mask))


def _unit(vectors: FloatArray) -> FloatArray:
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    length = np.sqrt(x * x + y * y + z * z) + np.float32(1e-6)
    result: FloatArray = vectors / length[..., None]
    return result


def _wide_blur(image: FloatArray, sigma: float) -> FloatArray:
    """A Gaussian blur too wide to need every pixel."""
    height, width = image.shape[:2]
    step = max(1, int(sigma / 2))
    size = (max(1, -(-width // step)), max(1, -(-height // step)))
    small = np.asarray(cv2.GaussianBlur(resize(image, size), (0, 0), sigma / step), np.float32)
    return resize(small, (width, height))


def _surroundings(faces: list[tuple[FloatArray, np.float32]], mask: Map) -> FloatArray:
    """Coarse normals of everything but faces: bodies, and heads around the faces, each with its
    weight.
    """
    height, width = mask.shape
    size = (max(1, width // _COARSE), max(1, height // _COARSE))
    scale = np.array([size[0] / width, size[1] / height, size[0] / width], np.float32)
    small = resize(mask, size)
    heads = [(landmarks * scale, weight) for landmarks, weight in faces]
    widths = [float(np.ptp(head[:, 0])) for head, _ in heads]
    # The edge of a person is rounded over a share of the face's width.
    normals = _cushion(small, max(widths, default=size[0] / 6) * 0.30 + 0.5)
    for head, weight in heads:
        own, share = _ellipsoid(head, *size)
        normals += (own - normals) * (share * weight)[..., None]
    return normals


@cache
def _samples(rows: int) -> FloatArray:
    """Barycentric coordinates of points spread evenly over a triangle, `(n, 3)`."""
    points = []
    for i in range(rows):
        for j in range(rows - i):
            a, b = (i + 1 / 3) / rows, (j + 1 / 3) / rows
            points.append((a, b, 1 - a - b))
    return np.array(points, np.float32)


def _cushion(mask: Map, reach: float) -> FloatArray:
    """Normals that lean outwards near the mask's edge and face the camera inside."""
    normals: FloatArray = np.empty((*mask.shape, 3), np.float32)
    normals[..., 2] = 0.75
    normals[..., :2] = 0.0
    if min(mask.shape) < 2:
        return _unit(normals)
    for sigma, share in ((reach, 1.6), (reach * 0.4, 0.5)):
        # Replicated borders: where the picture cuts a body off is no edge of the body.
        soft = cv2.GaussianBlur(mask, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        down, right = np.gradient(soft)
        normals[..., 0] -= right * (sigma * share * 2)
        normals[..., 1] += down * (sigma * share * 2)
    return _unit(normals)


def _ellipsoid(landmarks: FloatArray, width: int, height: int) -> tuple[FloatArray, Map]:
    """Normals of an ellipsoid around the head, and how much they count."""
    chin, forehead = landmarks[_CHIN], landmarks[_FOREHEAD]
    ears = landmarks[_LEFT_EAR] - landmarks[_RIGHT_EAR]
    up = forehead - chin
    tall = float(np.linalg.norm(up)) + 1e-3
    up = up / tall
    across = ears - up * float(ears @ up)
    wide = float(np.linalg.norm(across)) + 1e-3
    across = across / wide
    out = np.cross(across, up)  # towards the face's front in landmark space
    if out[2] > 0:
        out = -out
    # From the middle between the ears: the skull's centre lies above and behind it.
    ear_middle = (landmarks[_LEFT_EAR] + landmarks[_RIGHT_EAR]) / 2
    centre = ear_middle + up * (tall * 0.12) - out * (wide * 0.05)
    radii = np.array([wide * 0.60, tall * 0.82, wide * 0.78], np.float32)
    axes = np.stack([across, up, out])  # rows: unit vectors
    # On the ellipsoid (p - c)^T Q (p - c) = 1; solve for the near side's depth at each pixel.
    q = axes.T @ np.diag(1 / radii**2) @ axes
    xs = np.arange(width, dtype=np.float32)[None, :] + 0.5 - centre[0]
    ys = np.arange(height, dtype=np.float32)[:, None] + 0.5 - centre[1]
    linear = q[0, 2] * xs + q[1, 2] * ys
    flat = q[0, 0] * xs * xs + 2 * q[0, 1] * xs * ys + q[1, 1] * ys * ys
    inside = linear * linear - q[2, 2] * (flat - 1)
    # Beyond the outline the surface is continued at its steepest seen slope.
    depth = (-linear - np.sqrt(np.maximum(inside, 0.02 * q[2, 2]))) / q[2, 2]
    normals = np.stack(
        [
            q[0, 0] * xs + q[0, 1] * ys + q[0, 2] * depth,
            -(q[0, 1] * xs + q[1, 1] * ys + q[1, 2] * depth),
            -(q[0, 2] * xs + q[1, 2] * ys + q[2, 2] * depth),
        ],
        axis=2,
    ).astype(np.float32)
    # 1 inside, 0 from half a radius outside the outline on.
    radius = np.sqrt(np.maximum(1.0 - inside / q[2, 2], 0.0))
    return _unit(normals), smoothstep(1.45, 1.0, radius)
