"""Lights that a person can describe, and the SH lighting that they make together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.color import luminance
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.sh import basis

NEUTRAL_K = 6500.0
"""Colour temperature that changes no colour, in kelvin (close to D65, sRGB's white)."""


def direction(azimuth: float, elevation: float) -> FloatArray:
    """Unit vector from the person to a light.

    Args:
        azimuth: degrees from the camera towards the right of the unmirrored image.
        elevation: degrees above the horizon.

    Returns:
        `(3,)` in camera space.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    return np.array([math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)], np.float32)


def temperature_rgb(kelvin: float) -> FloatArray:
    """Linear sRGB of a black body, scaled to luminance 1.

    The chromaticity follows Kim et al.'s cubic fit of the Planckian locus (US patent 7024034,
    1667 K to 25000 K); values are divided by those at `NEUTRAL_K`, so that 6500 K is white.

    Args:
        kelvin: 1667 to 25000.

    Returns:
        `(3,)` RGB, none below 0.

    Raises:
        ValueError: the temperature is outside that range.
    """
    if not 1667 <= kelvin <= 25000:
        raise ValueError(f"a colour temperature is between 1667 and 25000 K, not {kelvin:g}")
    rgb = _planck_rgb(kelvin) / _planck_rgb(NEUTRAL_K)
    rgb = np.maximum(rgb, 0.0)
    result: FloatArray = (rgb / luminance(rgb)).astype(np.float32)
    return result


def _planck_rgb(kelvin: float) -> FloatArray:
    t = 1e3 / kelvin
    if kelvin <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    xyz = np.array([x / y, 1.0, (1 - x - y) / y])
    to_rgb = np.array(  # IEC 61966-2-1
        [
            [3.2406, -1.5372, -0.4986],
            [-0.9689, 1.8758, 0.0415],
            [0.0557, -0.2040, 1.0570],
        ]
    )
    return np.asarray(np.maximum(to_rgb @ xyz, 1e-4), np.float32)


@dataclass(frozen=True, slots=True)
class Light:
    """One distant light."""

    azimuth: float
    """Degrees from the camera towards the right of the unmirrored image; 180 is behind."""
    elevation: float
    """Degrees above the horizon."""
    rgb: tuple[float, float, float]
    """Linear sRGB colour times intensity."""
    softness: float = 0.3
    """0: a point far away; 1: a dome over half of all directions."""


def lights_to_sh(lights: Sequence[Light], ambient: tuple[float, float, float]) -> FloatArray:
    """SH radiance of lights in front of an even surrounding.

    A light of softness s is a cone of half-angle 90 s degrees that gives as much light in all as a
    point light, its bands scaled by the cone's zonal coefficients (Ramamoorthi, Hanrahan 2001): the
    softer, the less falls on a surface that faces it, and the more on others.

    Args:
        lights: intensities as irradiance of a point light on a surface that faces it.
        ambient: RGB irradiance from all around.

    Returns:
        `(9, 3)` radiance coefficients.
    """
    sh = np.zeros((9, 3), np.float32)
    sh[0] = np.asarray(ambient, np.float32) / (math.pi * float(basis(direction(0, 0))[0]))
    for light in lights:
        zonal = cone_bands(math.radians(90.0 * light.softness))
        coefficients = basis(direction(light.azimuth, light.elevation)) * zonal
        sh += coefficients[:, None] * np.asarray(light.rgb, np.float32)
    return sh


def cone_bands(half_angle: float) -> FloatArray:
    """`(9,)` factors by which a uniform cone of unit total light weakens each band."""
    c = math.cos(half_angle)
    # means of the Legendre polynomials P0, P1 and P2 over the cone
    return np.array([1.0] + [(1 + c) / 2] * 3 + [c * (1 + c) / 2] * 5, np.float32)
