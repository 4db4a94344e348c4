"""A surface normal for each pixel of a person, from face landmarks and the person mask.

On the face the normals are the mesh's. Around it they pass smoothly into those of `body_normals`.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.face.models import load_triangles
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.head.body_normals import blended_body_normals, unit


@dataclass(frozen=True, slots=True)
class FaceNormalParams:
    """How a face mesh is drawn, and how far it reaches; lengths are fractions of its width."""

    cells_per_row: float = 12.0
    """Each mesh triangle is drawn as rows of points, one row for so many cells of the face's width:
    at least 4 rows, which are 10 points."""
    margin: float = 0.35
    """Around the landmarks, that the mesh's normals are blended over: what `reach` blurs ends
    within it."""
    least_facing: float = 0.02
    """Component towards the camera above which a point is visible."""
    gap: float = 0.012
    least_gap: float = 0.8
    """Sigma of the blur that closes the gaps between points, and what it is at least, in cells."""
    gap_gain: float = 2.0
    """Coverage by points, once blurred, times this is the mesh's own."""
    reach: float = 0.10
    least_reach: float = 1.5
    """Sigma of the blur that carries normals beyond the mesh's edge, and what it is at least, in
    cells."""
    fade: tuple[float, float] = (1.6, 0.15)
    """Gain and offset of the widely blurred coverage: 1 well inside the face, 0 well outside."""
    filling: float = 0.02
    """Weight of the widely blurred normals where there are own ones too."""


_PARAMS = FaceNormalParams()


class NormalMapper:
    """Draws normal maps. Holds the mesh's topology only, no state of any stream."""

    def __init__(self, params: FaceNormalParams = _PARAMS) -> None:
        """Loads the mesh; `params` say how it is drawn."""
        self._triangles = load_triangles()
        self._params = params

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
        own_coverage = np.zeros((height, width), np.float32)
        for landmarks, weight in faces:
            margin = self._params.margin * float(np.ptp(landmarks[:, 0])) + 2
            left, top = np.floor(landmarks[:, :2].min(axis=0) - margin).astype(int)
            right, bottom = np.ceil(landmarks[:, :2].max(axis=0) + margin).astype(int)
            left, top = max(left, 0), max(top, 0)
            right, bottom = min(right, width), min(bottom, height)
            if right - left < 4 or bottom - top < 4:
                continue
            window = np.s_[top:bottom, left:right]
            local = landmarks - np.array([left, top, 0], np.float32)
            own, covered, soft = self._face(local, right - left, bottom - top)
            normals[window] += (own - normals[window]) * (soft * weight)[..., None]
            own_coverage[window] = np.maximum(own_coverage[window], covered)
        return unit(normals), own_coverage

    def _face(self, landmarks: FloatArray, width: int, height: int) -> tuple[FloatArray, Map, Map]:
        """Normals of one face, spread beyond its edge.

        Returns:
            `(h, w, 3)` unit normals; `(h, w)` 0..1, where they are the mesh's own; `(h, w)` 0..1,
            how much they count when they are blended with those around the face.
        """
        params = self._params
        face_width = float(np.ptp(landmarks[:, 0])) + 1.0
        points, normals = self._sample(landmarks, max(4, round(face_width / params.cells_per_row)))
        x, y = np.floor(points[:, 0]).astype(np.int64), np.floor(points[:, 1]).astype(np.int64)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        visible = inside & (normals[:, 2] > params.least_facing)
        index = y[visible] * width + x[visible]
        normals = normals[visible]
        size = width * height
        drawn = np.empty((size, 4), np.float32)
        for channel in range(3):
            drawn[:, channel] = np.bincount(index, normals[:, channel], size)
        drawn[:, 3] = np.bincount(index, minlength=size)
        # Density differs between small and large triangles: a mean per pixel, counted once.
        drawn /= np.maximum(drawn[:, 3:], 1.0)
        image = drawn.reshape(height, width, 4)
        fine = cv2.GaussianBlur(image, (0, 0), max(params.least_gap, face_width * params.gap))
        wide = _wide_blur(image, max(params.least_reach, face_width * params.reach))
        gain, offset = params.fade
        covered = np.clip(fine[..., 3] * params.gap_gain, 0.0, 1.0)
        soft = np.clip(wide[..., 3] * gain - offset, 0.0, 1.0)
        own = unit(fine[..., :3] + wide[..., :3] * params.filling)
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
