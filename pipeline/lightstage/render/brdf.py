"""The reflection model that all renderers of the light stage share, and its fast form.

The model: radiance towards `v` of a surface with albedo `a` is the sum of two lobes over the light,
    a / pi  +  D(h) F(v.h) G1(l.n) G1(v.n) / (4 (l.n) (v.n))
with the GGX distribution D of alpha = roughness^2, Smith's G1 for it (Walter et al. 2007) and
Schlick's F from `Material.f0`. Light that is reflected is not taken from the diffuse lobe: images
then are albedo x shading + specular exactly, at the price of a few per cent too much light at
grazing angles.
`mitsuba_surface` is the same model for path tracing.

The fast form is the split sum (Karis 2013): a light map blurred by D, read along the reflected
ray, times F and G averaged over the lobe; and, for shadow, the share of the lobe that is visible.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.light_map import (
    COLUMNS,
    LightMap,
    map_directions,
    sphere_directions,
)

LAYERS = (0.1, 0.25, 0.4, 0.55, 0.75, 1.0)
"""Roughness of each layer of `Glossy.maps`."""

TERMS = 32
"""Steps of the cosine and of the roughness in `split_sum`."""

_NEAR = 13  # directions around the reflected ray that shadow is taken from
_TABLE = 64  # rows of the table from directions to the nearest of `sphere_directions`


@dataclass(frozen=True, slots=True)
class Glossy:
    """A light as it is seen in surfaces of rising roughness."""

    maps: FloatArray
    """`(len(LAYERS), ROWS, COLUMNS, 3)` float32 radiance, laid out as `LightMap`."""

    @classmethod
    def of(cls, light: LightMap) -> "Glossy":
        """Blurs a light map by GGX lobes, taking view and normal along the reflected ray."""
        spectrum = np.fft.rfft(light, axis=1)  # (rows, frequencies, 3)
        blurred = np.einsum("lfoi,ifc->lofc", _kernels(), spectrum, optimize=True)
        maps = np.fft.irfft(blurred, COLUMNS, axis=2)
        return cls(np.ascontiguousarray(np.maximum(maps, 0), np.float32))


@cache
def _kernels() -> NDArray[np.complex64]:
    """`(layers, frequencies, rows out, rows in)` blur kernels.

    Lobes are even along a row of the map, so that blurring is a product in its Fourier domain.
    """
    directions, angle = map_directions()
    first = directions[:, 0].astype(np.float64)  # (rows, 3), one column
    cosine = np.clip(np.einsum("oc,ijc->oij", first, directions), -1, 1)
    half2 = (1 + cosine) / 2  # squared cosine of the half vector
    kernels = []
    for roughness in LAYERS:
        a2 = roughness**4
        lobe = np.clip(cosine, 0, None) / (half2 * (a2 - 1) + 1) ** 2 * angle
        lobe /= lobe.sum((1, 2), keepdims=True)
        kernels.append(np.fft.rfft(lobe, axis=2).transpose(2, 0, 1))
    return np.array(kernels, np.complex64)


@cache
def split_sum() -> FloatArray:
    """`(TERMS, TERMS, 2)`: a, b so that a * f0 + b is the share of even light that is reflected.

    Rows are roughness, columns the cosine between normal and view, both at the middles of `TERMS`
    steps from 0 to 1 (Karis 2013, with Smith's G1 for each direction).
    """
    middle = (np.arange(TERMS) + 0.5) / TERMS
    samples = 1024
    u = (np.arange(samples) + 0.5) / samples
    phi = 2 * math.pi * ((np.arange(samples) * 0.6180339887498949) % 1)
    terms = np.zeros((TERMS, TERMS, 2))
    for row, roughness in enumerate(middle):
        alpha2 = roughness**4
        cos_h = np.sqrt((1 - u) / (1 + (alpha2 - 1) * u))
        sin_h = np.sqrt(1 - cos_h**2)
        for column, nv in enumerate(middle):
            vh = math.sqrt(1 - nv * nv) * sin_h * np.cos(phi) + nv * cos_h
            nl = 2 * vh * cos_h - nv
            use = (nl > 0) & (vh > 0)
            nl, vh, nh = nl[use], vh[use], cos_h[use]
            shadow = _smith(nl, alpha2) * float(_smith(np.array(nv), alpha2))
            weight = shadow * vh / (nh * nv)
            fresnel = (1 - vh) ** 5
            terms[row, column] = ((1 - fresnel) * weight).sum(), (fresnel * weight).sum()
    return (terms / samples).astype(np.float32)


def _smith(cosine: NDArray[np.float64], alpha2: float) -> NDArray[np.float64]:
    result: NDArray[np.float64] = (
        2 * cosine / (cosine + np.sqrt(alpha2 + (1 - alpha2) * cosine * cosine))
    )
    return result


@cache
def _nearest(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The nearest of `count` directions.

    Returns:
        A table `(_TABLE, 2 _TABLE)`, laid out as a light map, of the nearest direction; and the
        `(count, _NEAR)` nearest of each direction, itself first.
    """
    directions, _ = map_directions(_TABLE, 2 * _TABLE)
    lobes = sphere_directions(count)
    table = np.argmax(directions.reshape(-1, 3) @ lobes.T, axis=1).reshape(_TABLE, 2 * _TABLE)
    near = np.argsort(-(lobes @ lobes.T), axis=1, kind="stable")[:, :_NEAR]
    return table, near


def reflected_share(
    positions: FloatArray,
    normals: FloatArray,
    eye: FloatArray,
    roughness: float,
    visible: NDArray[np.uint8],
    lobes: Sequence[FloatArray],
) -> FloatArray:
    """How much of the light around the reflected ray is not hidden.

    Args:
        positions: `(V, 3)` world space, dm.
        normals: `(V, 3)` unit, world space.
        eye: `(3,)` where the camera is.
        roughness: of the surface.
        visible: `(V, L)` shares of 255 of each direction.
        lobes: per light, `(L, 3)` its energy by direction.

    Returns:
        `(V, lights)` in 0..1; 0 where the surface faces away from the camera.
    """
    share = np.zeros((len(positions), len(lobes)), np.float32)
    view = eye - positions
    view /= np.sqrt(np.einsum("vc,vc->v", view, view))[:, None]
    facing = np.einsum("vc,vc->v", view, normals)
    front = np.flatnonzero(facing > -0.2)
    # At the silhouette the ray leaves upwards, as in the fragments' shading.
    cosine = np.maximum(facing[front], 0.05)
    ray = 2 * cosine[:, None] * normals[front] - view[front]
    ray /= np.sqrt(np.einsum("vc,vc->v", ray, ray))[:, None]
    count = visible.shape[1]
    table, near = _nearest(count)
    row = (0.5 - np.arcsin(np.clip(ray[:, 1], -1, 1)) / np.float32(math.pi)) * _TABLE
    column = (0.5 - np.arctan2(ray[:, 0], ray[:, 2]) / np.float32(2 * math.pi)) * 2 * _TABLE
    row, column = np.minimum(row.astype(int), _TABLE - 1), column.astype(int) % (2 * _TABLE)
    around = near[table[row, column]]
    # A lobe is at least as wide as a cell of the directions.
    a2 = np.float32(max(roughness**4, 0.25 / count))
    half2 = np.einsum("vc,vkc->vk", ray, sphere_directions(count)[around])
    half2 *= (a2 - 1) / 2
    half2 += (a2 + 1) / 2
    lobe = 1 / (half2 * half2)
    seen = lobe * np.take_along_axis(visible[front], around, axis=1)
    for light, energies in enumerate(lobes):
        energy = energies.mean(1)
        energy += 0.02 * energy.mean() + 1e-12  # in the dark, the share of the directions
        weight = energy[around]
        whole = np.einsum("vk,vk->v", weight, lobe)
        share[front, light] = np.einsum("vk,vk->v", weight, seen) / (255 * whole)
    return share
