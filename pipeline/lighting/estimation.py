"""The source lighting: RGB SH from the pixels of the skin."""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.color import brightest_channel
from vcam_relight.pipeline.core.image import FloatArray, LinearRgb, Map
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.head.normals import NormalMapper
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.sh import LAMBERT, basis


@dataclass(frozen=True, slots=True)
class EstimationParams:
    """How the fit to skin is regularized."""

    ridge: tuple[float, float, float] = (0.0, 0.01, 0.05)
    """Per band: how strongly coefficients are held at 0, against the number of pixels. A face shows
    half of all normals only, so that the second band is guessed rather than seen."""
    most_directed: tuple[float, float] = (1.0, 0.8)
    """Lengths of bands 1 and 2 over coefficient 0 that are plausible at most; a point light has 1.7
    and 2.2. Beyond, the half of all normals that no face shows would be darker than black."""
    chroma: float = 0.5
    """Share kept of how channels differ in where light comes from: skin itself scatters red into
    its shadows, which is no coloured light."""
    rounds: int = 3
    """Of reweighting."""
    tukey: float = 4.685
    """Of the biweight: residuals over their scale that count as nothing."""
    stiffenings: int = 20
    """Times that the ridge grows at most until a lighting is plausible..."""
    stiffening: float = 1.5
    """...and by how much."""
    least_pixels: int = 40
    most_pixels: int = 900
    """More tell nothing new; so many are taken evenly."""
    darkest: float = 0.004
    brightest: float = 0.92
    """Linear light below and above which a pixel is noise or clipped."""
    least_exposure: float = 0.05
    """Of any channel, below which an estimate is dropped."""


_PARAMS = EstimationParams()


def estimate_lighting(context: FrameContext, mapper: NormalMapper) -> FloatArray | None:
    """The lighting on the faces of one frame, of exposure 1; see `fit_lighting`."""
    normals, own = mapper.normals(context.faces, context.mask)
    return fit_lighting(context.image.linear, normals, context.skins, own)


def fit_lighting(
    linear: LinearRgb,
    normals: FloatArray,
    skins: list[Map],
    own: Map,
    params: EstimationParams = _PARAMS,
) -> FloatArray | None:
    """Robust least squares for the lighting of all faces together.

    Skin is taken as Lambertian and of one albedo per face; what does not fit (beards, glasses,
    highlights) loses weight by Tukey's biweight. Each channel is divided by `exposure`, so that
    neither skin tone nor white balance is taken for light: what is left is where light comes from.

    Args:
        linear: `(h, w, 3)` linear RGB.
        normals: `(h, w, 3)` unit normals in camera space.
        skins: `(h, w)` skin of each face.
        own: `(h, w)` 0..1, where normals are the face mesh's own.
        params: how the fit is regularized.

    Returns:
        `(9, 3)` RGB radiance of exposure 1 in each channel; None when too little skin is seen.
    """
    pixels, rows = [], []
    for skin in skins:
        brightness = brightest_channel(linear)
        use = (
            (skin > 0)
            & (own > 0.5)
            & (brightness > params.darkest)
            & (brightness < params.brightest)
        )
        if int(use.sum()) < params.least_pixels:
            continue
        count = int(use.sum())
        chosen = np.linspace(0, count - 1, min(count, params.most_pixels)).astype(np.intp)
        colour = linear[use][chosen]
        pixels.append(colour / np.maximum(colour.mean(axis=0), 1e-4))
        rows.append(basis(normals[use][chosen]) * LAMBERT)
    if not pixels:
        return None
    sh = fit(np.concatenate(rows), np.concatenate(pixels), params)
    level = exposure(sh)
    if (level <= params.least_exposure).any():
        return None
    sh /= level
    gray = sh.mean(axis=1, keepdims=True)
    result: FloatArray = gray + (sh - gray) * np.float32(params.chroma)
    return result


def fit(a: FloatArray, b: FloatArray, params: EstimationParams = _PARAMS) -> FloatArray:
    """`(9, 3)` light whose irradiance on known normals is known: robust least squares.

    Args:
        a: `(n, 9)` basis functions at the normals times `LAMBERT`.
        b: `(n, 3)` irradiance of about 1; what does not fit loses weight, in all channels.
        params: how the fit is regularized.
    """
    weights: FloatArray = np.ones(len(a), np.float32)
    for _ in range(params.rounds):
        x = _solve(a, b, weights, params)
        residual = np.abs(a @ x - b).mean(axis=1)
        scale = 1.4826 * float(np.median(residual)) + 1e-3
        weights = (
            np.clip(1 - (residual / (params.tukey * scale)) ** 2, 0, 1).astype(np.float32) ** 2
        )
    return x


def _solve(
    a: FloatArray, b: FloatArray, weights: FloatArray, params: EstimationParams
) -> FloatArray:
    """Weighted ridge solution, with a ridge that grows until the lighting is plausible."""
    weighted = (a * weights[:, None]).T
    matrix, right = weighted @ a, weighted @ b
    ridge = np.repeat(np.array(params.ridge, np.float32), (1, 3, 5)) * len(a)
    x: FloatArray = np.linalg.solve(matrix + np.diag(ridge), right).astype(np.float32)
    excess = _excess(x, params)
    for _ in range(params.stiffenings):
        if excess <= 1:
            break
        ridge = ridge * np.float32(params.stiffening)
        looser, looser_excess = x, excess
        x = np.linalg.solve(matrix + np.diag(ridge), right).astype(np.float32)
        excess = _excess(x, params)
        if excess <= 1:  # between the two, just at the limit: a step would flicker
            share = (looser_excess - 1) / (looser_excess - excess)
            x = looser + (x - looser) * np.float32(share)
    return x


def _excess(sh: FloatArray, params: EstimationParams) -> float:
    """How far a lighting is beyond what is plausible; 1 is the limit."""
    gray = sh.mean(axis=1)
    lengths = np.array([np.linalg.norm(gray[1:4]), np.linalg.norm(gray[4:])])
    return float(
        (lengths / (np.array(params.most_directed, np.float32) * max(float(gray[0]), 1e-3))).max()
    )
