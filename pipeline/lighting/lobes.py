"""Lights with a direction and a size, which order-2 harmonics cannot hold.

A lobe is a cone of even radiance around a direction. What it gives a surface is exact, has an edge
where the light sets behind the surface, and can be shadowed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from vcam_relight.pipeline.core.color import LUMINANCE_RGB
from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.lighting.hdri import hdri_to_sh
from vcam_relight.pipeline.lighting.light_map import LightMap, map_directions
from vcam_relight.pipeline.lighting.lights import Light, cone_bands, direction
from vcam_relight.pipeline.lighting.sh import basis, irradiance

_STEPS = 4096
"""Cosines that the irradiance of a cone is tabulated for."""


@dataclass(frozen=True, slots=True, eq=False)
class Lobes:
    """A few cones of light; K may be 0."""

    directions: FloatArray
    """`(K, 3)` unit vectors from the person to the lights, camera space."""
    rgb: FloatArray
    """`(K, 3)` light in all: irradiance of a point as bright on a surface that faces it."""
    radii: FloatArray
    """`(K,)` half-angles in radians."""

    @staticmethod
    def of_lights(lights: Sequence[Light]) -> "Lobes":
        """Lights that a person describes."""
        count = len(lights)
        return Lobes(
            np.array([direction(light.azimuth, light.elevation) for light in lights], np.float32)
            .reshape(count, 3),
            np.array([light.rgb for light in lights], np.float32).reshape(count, 3),
            np.array([math.radians(90 * light.softness) for light in lights], np.float32),
        )  # fmt: skip

    @property
    def sh(self) -> FloatArray:
        """`(9, 3)` their radiance in order 2."""
        sh = np.zeros((9, 3), np.float32)
        for towards, rgb, radius in zip(self.directions, self.rgb, self.radii, strict=True):
            sh += (basis(towards) * cone_bands(float(radius)))[:, None] * rgb
        return sh

    def times(self, rgb: FloatArray | float) -> "Lobes":
        """The same, as bright and as coloured as `rgb` says, a factor or `(3,)` factors."""
        return Lobes(self.directions, np.asarray(self.rgb * rgb, np.float32), self.radii)

    def irradiance(self, normals: FloatArray, visibility: FloatArray | None = None) -> FloatArray:
        """What surfaces get of them.

        Args:
            normals: `(..., 3)` unit vectors in camera space.
            visibility: `(K, ...)` 0..1, how much of each light a surface sees; None: all of it.

        Returns:
            `(..., 3)` RGB.
        """
        total = np.zeros((*normals.shape[:-1], 3), np.float32)
        for index, (towards, rgb, radius) in enumerate(
            zip(self.directions, self.rgb, self.radii, strict=True)
        ):
            share = cone_irradiance(normals @ towards, float(radius))
            if visibility is not None:
                share = share * visibility[index]
            total += share[..., None] * rgb
        return total


NO_LOBES = Lobes.of_lights(())


@dataclass(frozen=True, slots=True, eq=False)
class DistantLight:
    """A light from all around, of which some comes from lights with edges."""

    sh: FloatArray
    """`(9, 3)` radiance of all of it in order 2."""
    lobes: Lobes = NO_LOBES
    """What of it has edges."""

    @property
    def remainder(self) -> FloatArray:
        """`(9, 3)` radiance of what has none."""
        return self.sh - self.lobes.sh

    def irradiance(self, normals: FloatArray, visibility: FloatArray | None = None) -> FloatArray:
        """`(..., 3)` RGB, not below 0; arguments as of `Lobes.irradiance`."""
        even = np.maximum(irradiance(self.remainder, normals), 0)
        return np.asarray(even + self.lobes.irradiance(normals, visibility), np.float32)

    def equals(self, other: "DistantLight") -> bool:
        """Whether it is the same light."""
        pairs = (
            (self.sh, other.sh),
            (self.lobes.directions, other.lobes.directions),
            (self.lobes.rgb, other.lobes.rgb),
            (self.lobes.radii, other.lobes.radii),
        )
        return all(np.array_equal(one, two) for one, two in pairs)


def cone_irradiance(cosines: FloatArray, radius: float) -> FloatArray:
    """Irradiance on a surface by a cone of light that gives 1 in all.

    Args:
        cosines: of the angle between normal and direction, any shape.
        radius: half-angle of the cone, radians.
    """
    place = (np.clip(cosines, -1, 1) + np.float32(1)) * np.float32((_STEPS - 1) / 2)
    table = cone_table(round(radius, 3))
    return np.asarray(table[(place + np.float32(0.5)).astype(np.int32)], np.float32)


@cache
def cone_table(radius: float) -> FloatArray:
    """`(_STEPS,)` for cosines from -1 to 1: the mean of max(0, n l) over the cone's directions."""
    cosine = np.linspace(-1, 1, _STEPS)[:, None]
    sine = np.sqrt(1 - cosine * cosine)
    # Rings of equal solid angle; a point light is a cone of no size.
    rings = 1 - (np.arange(48) + 0.5) / 48 * (1 - math.cos(max(radius, 1e-3)))
    across = np.sqrt(1 - rings * rings)
    # Over a ring n l is a + b cos(phi), whose positive part has a mean in closed form.
    a, b = cosine * rings, np.maximum(sine * across, 1e-9)
    edge = np.arccos(np.clip(-a / b, -1, 1))
    mean = (a * edge + b * np.sin(edge)) / math.pi
    result: FloatArray = mean.mean(axis=1).astype(np.float32)
    return result


@dataclass(frozen=True, slots=True)
class MapLobeParams:
    """Which parts of an environment are lights of their own."""

    most: int = 4
    peak: float = 4.0
    """Times the mean radiance that a light's brightest place has at least."""
    edge: float = 0.25
    """Share of its brightest place's radiance that all of a light has."""
    reach: float = 35.0
    """Degrees from its brightest place that it reaches at most."""
    energy: float = 0.04
    """Share of all light that it gives at least."""


_PARAMS = MapLobeParams()


def map_lobes(light: LightMap, params: MapLobeParams = _PARAMS) -> tuple[Lobes, FloatArray]:
    """The lights of an environment, and what is left of it.

    Args:
        light: `(32, 64, 3)` radiance.
        params: what counts as a light.

    Returns:
        The lobes, and `(9, 3)` radiance coefficients of all of the light, lobes included: what is
        left is that less `Lobes.sh`.
    """
    towards, angle = map_directions()
    rest = light.astype(np.float32).copy()
    gray: Map = rest @ LUMINANCE_RGB
    whole = float((gray * angle).sum())
    even = whole / (4 * math.pi)
    found: list[tuple[FloatArray, FloatArray, float]] = []
    for _ in range(params.most):
        gray = rest @ LUMINANCE_RGB
        peak = np.unravel_index(int(gray.argmax()), gray.shape)
        brightest = float(gray[peak])
        if brightest < params.peak * even:
            break
        near = towards @ towards[peak] > math.cos(math.radians(params.reach))
        region = near & (gray > params.edge * brightest)
        around = rest[near & ~region]
        floor = np.median(around, axis=0) if len(around) else np.zeros(3, np.float32)
        energy = np.maximum(rest[region] - floor, 0) * angle[region][:, None]
        weight = energy @ LUMINANCE_RGB
        rest[region] = np.minimum(rest[region], floor)
        if float(weight.sum()) < params.energy * whole:
            continue
        mean = (towards[region] * weight[:, None]).sum(axis=0) / weight.sum()
        length = float(np.linalg.norm(mean))
        # The mean direction of a cone of half-angle r is (1 + cos r) / 2 long.
        radius = math.acos(min(max(2 * length - 1, 0.0), 1.0))
        found.append((mean / np.float32(max(length, 1e-6)), energy.sum(axis=0), radius))
    if not found:
        return NO_LOBES, hdri_to_sh(light)
    directions, rgb, radii = zip(*found, strict=True)
    lobes = Lobes(
        np.array(directions, np.float32), np.array(rgb, np.float32), np.array(radii, np.float32)
    )
    return lobes, hdri_to_sh(light)
