"""What skin and hair mirror of lights: highlights, and the rim of a light from behind.

A microfacet model (GGX; Walter et al. 2007) with Schlick's Fresnel term, in two roughnesses as
measured skin has them (Weyrich et al. 2006).
"""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.lobes import Lobes


@dataclass(frozen=True, slots=True)
class HighlightParams:
    """How skin mirrors."""

    reflectance: float = 0.04
    """At normal incidence."""
    grazing: float = 0.6
    """Of Fresnel's rise towards grazing angles: rough surfaces hide some of it from themselves."""
    slopes: tuple[tuple[float, float], ...] = ((0.22, 0.6), (0.45, 0.4))
    """GGX's alpha, and the share of it."""
    widening: float = 0.4
    """Of a light's sine by which alpha grows: a large light's highlight is large."""
    facing: float = 0.25
    """Least cosine to the camera that is counted: at the outline normals are guesses."""


_PARAMS = HighlightParams()


def lobe_highlights(
    lobes: Lobes, normals: FloatArray, visibility: FloatArray, params: HighlightParams = _PARAMS
) -> FloatArray:
    """`(h, w, 3)` what is mirrored to the camera, times pi: as light on a white matte surface.

    Args:
        lobes: the lights.
        normals: `(h, w, 3)` unit vectors in camera space; the camera is far away at +z.
        visibility: `(K, h, w)` 0..1.
        params: how skin mirrors.
    """
    out = np.zeros(normals.shape, np.float32)
    facing = np.maximum(normals[..., 2], params.facing)
    for index, (towards, rgb, radius) in enumerate(
        zip(lobes.directions, lobes.rgb, lobes.radii, strict=True)
    ):
        half = towards + np.array([0, 0, 1], np.float32)
        length = float(np.linalg.norm(half))
        if length < 1e-3:
            continue  # straight from behind: hidden
        half = half / length
        lit = np.clip(normals @ towards, 0, 1)
        cosine = np.clip(normals @ half, 0, 1)
        away = 1 - float(half[2])
        fresnel = params.reflectance + (1 - params.reflectance) * params.grazing * away**5
        glossy = np.zeros(normals.shape[:2], np.float32)
        for slope, share in params.slopes:
            alpha = min(slope + params.widening * float(np.sin(min(radius, 1.57))), 1.0)
            square = np.float32(alpha * alpha)
            spread = cosine * cosine * (square - 1) + 1
            shape = square / (np.float32(np.pi) * spread * spread)
            k = np.float32(alpha / 2)
            hidden = (lit / (lit * (1 - k) + k)) * (facing / (facing * (1 - k) + k))
            glossy += np.float32(share) * shape * hidden
        seen = glossy * (np.float32(np.pi * fresnel / 4) / facing) * visibility[index]
        out += seen[..., None] * rgb
    return out
