"""A surface normal for each pixel of a person, from face landmarks and the person mask.

On the face the normals are the mesh's. Around it they pass smoothly into those of `body_normals`.
"""

from functools import cache

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.face.models import load_triangles
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.head.body_normals import blended_body_normals, unit

_CELLS_PER_ROW = 12
"""Each mesh triangle is drawn as rows of points, one row for so many cells of the face's width: at
least 4 rows, which are 10 points."""


class NormalMapper:
    """Draws normal maps. Holds the mesh's topology only, no state of any stream."""

    def __init__(self) -> None:
        self._triangles = load_triangles()

    def normals(self, state: FaceState, mask: Map) -> tuple[FloatArray, Map]:
        """Normals for one frame.

        Args:
            state: faces in pixels of the frame.
            mask: `(h, w)` 0..1, the persons', at the analysis resolution.

        Returns:
            `(h, w, 3)` unit normals in camera space, defined everywhere, and `(h, w)` 0..1: where
            they are the face mesh's own.
        """
        height, width = mask.shape
        scale = np.float32(width / state.size[0])
        faces = [(face.landmarks * scale, np.float32(face.weight)) for face in state.faces]
        normals = resize(blended_body_normals(state, mask), (width, height))
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
        return unit(normals), face_share

    def _face(self, landmarks: FloatArray, width: int, height: int) -> tuple[FloatArray, Map, Map]:
        """Normals of one face, spread beyond its edge.

        Returns:
            `(h, w, 3)` unit normals; `(h, w)` 0..1, where they are the mesh's own; `(h, w)` 0..1,
            how much they count when they are blended with those around the face.
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
        own = unit(fine[..., :3] + wide[..., :3] * 0.02)
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
        both = np.concatenate([landmarks[:, :2], unit(vertex)], axis=1)
        # (3 corners, triangles x 5): one product makes all samples
        spread = both[self._triangles].transpose(1, 0, 2).reshape(3, -1)
        samples = (_samples(rows) @ spread).reshape(-1, 5)
        return samples[:, :2], samples[:, 2:]


def _wide_blur(image: FloatArray, sigma: float) -> FloatArray:
    """A Gaussian blur too wide to need every pixel."""
    height, width = image.shape[:2]
    step = max(1, int(sigma / 2))
    size = (max(1, -(-width // step)), max(1, -(-height // step)))
    small = np.asarray(cv2.GaussianBlur(resize(image, size), (0, 0), sigma / step), np.float32)
    return resize(small, (width, height))


@cache
def _samples(rows: int) -> FloatArray:
    """Barycentric coordinates of points spread evenly over a triangle, `(n, 3)`."""
    points = []
    for i in range(rows):
        for j in range(rows - i):
            a, b = (i + 1 / 3) / rows, (j + 1 / 3) / rows
            points.append((a, b, 1 - a - b))
    return np.array(points, np.float32)
