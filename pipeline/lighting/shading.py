"""Shading that ratios can be taken of. `sh_torch` has the same in torch."""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import LUMINANCE_RGB
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.lobes import DistantLight
from vcam_relight.pipeline.lighting.sh import LAMBERT, basis


@dataclass(frozen=True, slots=True)
class ShadingParams:
    """How irradiance is kept from darkness."""

    floor: float = 0.08
    """Share of a light's exposure added to its irradiance everywhere: light that order-2 SH does
    not know of, bounced by whatever is near."""
    least_exposure: float = 0.05
    """What the floor counts as a light's exposure at least, in each channel."""


SHADING = ShadingParams()


def shading_floor(sh: FloatArray, params: ShadingParams = SHADING) -> FloatArray:
    """`(3,)` RGB irradiance that is added to that of a light `(9, 3)`."""
    level = np.maximum(exposure(sh), params.least_exposure)
    return np.asarray(level * np.float32(params.floor), np.float32)


def log_ratio(source: FloatArray, target: DistantLight, normals: FloatArray) -> FloatArray:
    """Natural logarithm of the gain that turns one light on surfaces into another.

    Args:
        source: `(9, 3)` RGB radiance of the light that is there.
        target: the light that is to be there.
        normals: `(h, w, 3)` unit vectors in camera space.

    Returns:
        `(h, w, 3)` RGB.
    """
    # A row for each channel: rows are contiguous, pixels of three channels are not.
    functions = np.moveaxis(basis(normals), -1, 0).reshape(9, -1)
    lobes = np.moveaxis(target.lobes.irradiance(normals), -1, 0).reshape(3, -1)
    there = _log_shading(_irradiance(source, functions), source)
    asked = _log_shading(_irradiance(target.remainder, functions) + lobes, target.sh)
    return np.asarray(cv2.merge(list((asked - there).reshape(3, *normals.shape[:2]))), np.float32)


def log_shading(
    light: DistantLight, normals: FloatArray, visibility: FloatArray | None = None
) -> FloatArray:
    """Natural logarithm of what a light makes of surfaces, as `log_ratio` takes it.

    Args:
        light: of exposure 1.
        normals: `(h, w, 3)` unit vectors in camera space.
        visibility: `(K, h, w)` 0..1, how much of each of its lobes a surface sees; None: all.

    Returns:
        `(h, w, 3)` RGB.
    """
    functions = np.moveaxis(basis(normals), -1, 0).reshape(9, -1)
    lobes = np.moveaxis(light.lobes.irradiance(normals, visibility), -1, 0).reshape(3, -1)
    shading = _log_shading(_irradiance(light.remainder, functions) + lobes, light.sh)
    return np.asarray(cv2.merge(list(shading.reshape(3, *normals.shape[:2]))), np.float32)


def _irradiance(sh: FloatArray, functions: FloatArray) -> FloatArray:
    """`(3, n)`, not below 0, for the basis functions `(9, n)`."""
    return np.maximum((sh * LAMBERT[:, None]).T @ functions, 0.0)


def _log_shading(light: FloatArray, sh: FloatArray) -> FloatArray:
    """`(3, n)` natural logarithm of irradiance `(3, n)` of a light of radiance `(9, 3)`.

    It is kept from darkness and, where it is dark, from colours that are not there: what order 2
    makes of darkness has a sign for each channel.
    """
    gray = LUMINANCE_RGB @ light
    share = gray / (gray + np.float32(SHADING.floor * exposure(sh).mean()))
    shading = gray + (light - gray) * share + shading_floor(sh)[:, None]
    return np.asarray(cv2.log(shading), np.float32)
