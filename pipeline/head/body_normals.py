"""Surface normals of bodies: the silhouette inflated like a cushion, an ellipsoid for each head.

They are for shoulders, hands, hair, ears and neck, of which no landmarks tell.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.face.types import FaceState


@dataclass(frozen=True, slots=True)
class BodyParams:
    """The shapes that bodies and heads are taken for."""

    coarseness: int = 4
    """Bodies are smooth: their normals are made at so many times fewer pixels a side."""
    rounding: float = 0.30
    """Share of a face's width over which the edge of a person is rounded."""
    fallback_width: float = 1 / 6
    """A face's width where there is none, as a fraction of the map's."""
    facing: float = 0.75
    """How much a surface without a slope faces the camera, before its length is made 1."""
    slopes: tuple[tuple[float, float], ...] = ((1.0, 1.6), (0.4, 0.5))
    """Silhouette inflation: sigma over the rounding's reach, and how steep that part is."""
    radii: tuple[float, float, float] = (0.60, 0.82, 0.78)
    """Of a head's ellipsoid across, up and out, over the face's width, height and width."""
    rise: float = 0.12
    """From between the ears to the ellipsoid's centre, over the face's height..."""
    depth: float = 0.05
    """...and back, over its width: the skull's centre lies above and behind."""
    steepest: float = 0.02
    """Beyond the outline an ellipsoid is continued at its steepest visible slope, where the square
    of its depth over the radius is this."""
    margin: float = 0.45
    """Of the radius, outside the outline, over which an ellipsoid fades out."""


_PARAMS = BodyParams()
_CHIN, _FOREHEAD, _RIGHT_EAR, _LEFT_EAR = 152, 10, 234, 454


def body_normals(state: FaceState, mask: Map, params: BodyParams = _PARAMS) -> FloatArray:
    """Normals of bodies, and of heads without what is known of their faces.

    Args:
        state: faces in pixels of the frame.
        mask: `(h, w)` 0..1, the persons', at the analysis resolution.
        params: shapes.

    Returns:
        `(h / 4, w / 4, 3)` unit normals in camera space (x right, y up, z to the camera), defined
        everywhere.
    """
    return unit(blended_body_normals(state, mask, params))


def blended_body_normals(state: FaceState, mask: Map, params: BodyParams = _PARAMS) -> FloatArray:
    """`body_normals` before their lengths are made 1, to be blended further."""
    height, width = mask.shape
    size = (max(1, width // params.coarseness), max(1, height // params.coarseness))
    to_map = np.float32(width / state.size[0])
    scale = np.array([size[0] / width, size[1] / height, size[0] / width], np.float32)
    heads = [(face.landmarks * to_map * scale, np.float32(face.weight)) for face in state.faces]
    widths = [float(np.ptp(landmarks[:, 0])) for landmarks, _ in heads]
    reach = max(widths, default=size[0] * params.fallback_width) * params.rounding + 0.5
    normals = _inflated(resize(mask, size), reach, params)
    for landmarks, weight in heads:
        own, coverage = _ellipsoid(landmarks, *size, params)
        normals += (own - normals) * (coverage * weight)[..., None]
    return normals


def unit(vectors: FloatArray) -> FloatArray:
    """`(*, 3)` vectors, of length 1."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    length = np.sqrt(x * x + y * y + z * z) + np.float32(1e-6)
    result: FloatArray = vectors / length[..., None]
    return result


def _inflated(mask: Map, reach: float, params: BodyParams) -> FloatArray:
    """Normals that lean outwards near the silhouette's edge and face the camera inside."""
    normals: FloatArray = np.empty((*mask.shape, 3), np.float32)
    normals[..., 2] = params.facing
    normals[..., :2] = 0.0
    if min(mask.shape) < 2:
        return unit(normals)
    for width, slope in params.slopes:
        sigma = reach * width
        # Replicated borders: where the image cuts a body off is no edge of the body.
        soft = cv2.GaussianBlur(mask, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        down, right = np.gradient(soft)
        normals[..., 0] -= right * (sigma * slope * 2)
        normals[..., 1] += down * (sigma * slope * 2)
    return unit(normals)


def _ellipsoid(
    landmarks: FloatArray, width: int, height: int, params: BodyParams
) -> tuple[FloatArray, Map]:
    """Normals of an ellipsoid around the head, and their coverage."""
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
    ear_middle = (landmarks[_LEFT_EAR] + landmarks[_RIGHT_EAR]) / 2
    centre = ear_middle + up * (tall * params.rise) - out * (wide * params.depth)
    radii = np.array(np.array(params.radii) * [wide, tall, wide], np.float32)
    axes = np.stack([across, up, out])  # rows: unit vectors
    # On the ellipsoid (p - c)^T Q (p - c) = 1; solve for the near side's depth at each pixel.
    q = axes.T @ np.diag(1 / radii**2) @ axes
    xs = np.arange(width, dtype=np.float32)[None, :] + 0.5 - centre[0]
    ys = np.arange(height, dtype=np.float32)[:, None] + 0.5 - centre[1]
    linear = q[0, 2] * xs + q[1, 2] * ys
    flat = q[0, 0] * xs * xs + 2 * q[0, 1] * xs * ys + q[1, 1] * ys * ys
    inside = linear * linear - q[2, 2] * (flat - 1)
    depth = (-linear - np.sqrt(np.maximum(inside, params.steepest * q[2, 2]))) / q[2, 2]
    normals = np.stack(
        [
            q[0, 0] * xs + q[0, 1] * ys + q[0, 2] * depth,
            -(q[0, 1] * xs + q[1, 1] * ys + q[1, 2] * depth),
            -(q[0, 2] * xs + q[1, 2] * ys + q[2, 2] * depth),
        ],
        axis=2,
    ).astype(np.float32)
    radius = np.sqrt(np.maximum(1.0 - inside / q[2, 2], 0.0))
    return unit(normals), smoothstep(1 + params.margin, 1.0, radius)
