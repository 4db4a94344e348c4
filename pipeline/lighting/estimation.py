"""The light that is there: RGB SH from the pixels of the skin."""

import math

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import brightest_channel
from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.face.types import Face
from vcam_relight.pipeline.head.normals import grid_size
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.sh import LAMBERT, basis

_OVAL = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
]  # fmt: skip
_NOT_SKIN = (
    # eyes with lids and brows, one polygon a side, and the mouth: outlines in the face mesh
    [46, 70, 63, 105, 66, 107, 55, 133, 112, 232, 230, 228, 226],
    [276, 300, 293, 334, 296, 336, 285, 362, 341, 452, 450, 448, 446],
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146],
)
_RIDGE = np.array([0.0] + [0.01] * 3 + [0.05] * 5, np.float32)
"""Per band: how strongly coefficients are held at 0, against the number of pixels. A face shows
half of all normals only, so that the second band is guessed rather than seen."""
_MOST_DIRECTED = np.array([1.0, 0.8], np.float32)
"""Lengths of bands 1 and 2 over coefficient 0 that are believed at most; a point light has 1.7 and
2.2. Beyond, the half of all normals that no face shows would be darker than black."""
_CHROMA = 0.5
"""Share kept of how channels differ in where light comes from: skin itself scatters red into its
shadows, which is no coloured light."""
_ROUNDS = 3
_STIFFENINGS = 20
_TUKEY = 4.685
_MIN_PIXELS = 40
_MAX_PIXELS = 900
"""More than these tell nothing new; so many are taken evenly."""
_LOWEST, _HIGHEST = 0.004, 0.92
"""Linear light below and above which a pixel is noise or clipped."""
_SETTLE_S = 0.6
"""Time constant of the present light: lamps and clouds change slower, exposure steps ease in."""
_REST = 2e-3
"""Changes smaller than this are not followed: a still picture comes to rest."""


def skin_mask(faces: tuple[Face, ...], frame_size: tuple[int, int]) -> list[Map]:
    """For each face seen, `(h, w)` 0 or 1 on the grid: its skin without eyes, brows, mouth."""
    width, height = grid_size(*frame_size)
    scale = width / frame_size[0]
    masks = []
    for face in faces:
        if not face.seen:
            continue
        points = np.round(face.landmarks[:, :2] * (scale * 16)).astype(np.int32)
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [points[_OVAL]], 1, shift=4)
        cv2.fillPoly(mask, [points[outline] for outline in _NOT_SKIN], 0, shift=4)
        masks.append(mask.astype(np.float32))
    return masks


def estimate(
    linear: FloatArray, normals: FloatArray, skins: list[Map], share: Map
) -> FloatArray | None:
    """Robust least squares for the lighting of all faces together.

    Skin is taken as Lambertian and of one albedo per face; what does not fit (beards, spectacles,
    highlights) loses weight by Tukey's biweight. Each channel is divided by `exposure`, so that
    neither skin tone nor white balance is taken for light: what is left is where light comes from.

    Args:
        linear: `(h, w, 3)` linear RGB.
        normals: `(h, w, 3)` unit normals in camera space.
        skins: `(h, w)` skin of each face.
        share: `(h, w)` where normals are the mesh's own.

    Returns:
        `(9, 3)` RGB radiance of exposure 1 in each channel; None when too little skin is seen.
    """
    pixels, rows = [], []
    for skin in skins:
        brightness = brightest_channel(linear)
        use = (skin > 0) & (share > 0.5) & (brightness > _LOWEST) & (brightness < _HIGHEST)
        if int(use.sum()) < _MIN_PIXELS:
            continue
        count = int(use.sum())
        chosen = np.linspace(0, count - 1, min(count, _MAX_PIXELS)).astype(np.intp)
        colour = linear[use][chosen]
        pixels.append(colour / np.maximum(colour.mean(axis=0), 1e-4))
        rows.append(basis(normals[use][chosen]) * LAMBERT)
    if not pixels:
        return None
    sh = fit(np.concatenate(rows), np.concatenate(pixels))
    level = exposure(sh)
    if (level <= 0.05).any():
        return None
    sh /= level
    gray = sh.mean(axis=1, keepdims=True)
    result: FloatArray = gray + (sh - gray) * np.float32(_CHROMA)
    return result


def follow(last: FloatArray | None, seen: FloatArray, dt: float) -> FloatArray:
    """What is believed of the light after `dt` more seconds: `last`, moved towards `seen`."""
    if last is None:
        return seen
    step = seen - last
    if float(np.abs(step).max()) < _REST:
        return last
    share = 1 - math.exp(-max(dt, 0.0) / _SETTLE_S)
    return np.asarray(last + step * np.float32(share), np.float32)


def fit(a: FloatArray, b: FloatArray) -> FloatArray:
    """`(9, 3)` light whose irradiance on known normals is known: robust least squares.

    Args:
        a: `(n, 9)` basis functions at the normals times `LAMBERT`.
        b: `(n, 3)` irradiance of about 1; what does not fit loses weight, in all channels.
    """
    weights: FloatArray = np.ones(len(a), np.float32)
    for _ in range(_ROUNDS):
        x = _solve(a, b, weights)
        residual = np.abs(a @ x - b).mean(axis=1)
        scale = 1.4826 * float(np.median(residual)) + 1e-3
        weights = np.clip(1 - (residual / (_TUKEY * scale)) ** 2, 0, 1).astype(np.float32) ** 2
    return x


def _solve(a: FloatArray, b: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted ridge solution, with a ridge that grows until the light is believable."""
    weighted = (a * weights[:, None]).T
    matrix, right = weighted @ a, weighted @ b
    ridge = _RIDGE * len(a)
    x: FloatArray = np.linalg.solve(matrix + np.diag(ridge), right).astype(np.float32)
    excess = _excess(x)
    for _ in range(_STIFFENINGS):
        if excess <= 1:
            break
        ridge = ridge * np.float32(1.5)
        looser, looser_excess = x, excess
        x = np.linalg.solve(matrix + np.diag(ridge), right).astype(np.float32)
        excess = _excess(x)
        if excess <= 1:  # between the two, just at the limit: a step would flicker
            share = (looser_excess - 1) / (looser_excess - excess)
            x = looser + (x - looser) * np.float32(share)
    return x


def _excess(sh: FloatArray) -> float:
    """How far a light is beyond what is believed; 1 is the limit."""
    gray = sh.mean(axis=1)
    lengths = np.array([np.linalg.norm(gray[1:4]), np.linalg.norm(gray[4:])])
    return float((lengths / (_MOST_DIRECTED * max(float(gray[0]), 1e-3))).max())
