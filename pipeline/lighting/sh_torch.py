"""Light in torch, differentiable: what `sh`, `exposure` and `shading` say in numpy.

Functions and constants are theirs; beside them are occlusion, and lights as turned heads see them.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.core.color import LUMINANCE_RGB
from vcam_relight.pipeline.core.tensors import constant
from vcam_relight.pipeline.lighting.exposure import FRONT_MEAN
from vcam_relight.pipeline.lighting.sh import LAMBERT, basis_terms
from vcam_relight.pipeline.lighting.shading import SHADING

LUMINANCE: tuple[float, ...] = tuple(LUMINANCE_RGB.tolist())
"""`color.LUMINANCE_RGB`, for `tensors.constant`."""
_LAMBERT: tuple[float, ...] = tuple(LAMBERT.tolist())
_FRONT_MEAN: tuple[float, ...] = tuple(FRONT_MEAN.tolist())
_DIRECTIONS = 64


def basis(normals: Tensor) -> Tensor:
    """`(B, 9, ...)` the basis of `sh` at `(B, 3, ...)` unit vectors in camera space."""
    first, *others = basis_terms(normals[:, 0], normals[:, 1], normals[:, 2])
    return torch.stack([torch.full_like(others[0], first), *others], dim=1)


def radiance(coefficients: Tensor, directions: Tensor) -> Tensor:
    """`(B, C, H, W)` of `(B, 9, C)` coefficients at `(B, 3, H, W)` unit vectors."""
    values = coefficients.transpose(1, 2) @ basis(directions.flatten(2))
    return values.reshape(*values.shape[:2], *directions.shape[2:])


def irradiance(light: Tensor, normals: Tensor) -> Tensor:
    """`(B, C, H, W)` for `(B, 9, C)` radiance and normals `(B, 3, H, W)`.

    It may dip below 0 for hard light, where order 2 rings.
    """
    return radiance(light * constant(_LAMBERT, light)[:, None], normals)


def exposure(light: Tensor) -> Tensor:
    """`(B, C)` irradiance that a face gets of `(B, 9, C)` on average."""
    return constant(_FRONT_MEAN, light) @ light


def shading_floor(light: Tensor) -> Tensor:
    """`(B, C)` irradiance that is added to that of lights `(B, 9, C)`; see `shading.SHADING`."""
    return exposure(light).clamp(min=SHADING.least_exposure) * SHADING.floor


def log_shading(light: Tensor, normals: Tensor) -> Tensor:
    """`(B, 3, H, W)` natural logarithm of irradiance, safe to subtract another light's from.

    It is kept from darkness and, where it is dark, from colours that are not there.

    Args:
        light: `(B, 9, 3)` radiance.
        normals: `(B, 3, H, W)`.
    """
    return log_irradiance(irradiance(light, normals).clamp(min=0), light)


def log_irradiance(light_here: Tensor, light: Tensor) -> Tensor:
    """`(B, 3, H, W)` natural logarithm of irradiance `(B, 3, H, W)` by a light `(B, 9, 3)`.

    It is kept from darkness and from colours as `log_shading` says.
    """
    floor = shading_floor(light)[:, :, None, None]
    weights = constant(LUMINANCE, light)[:, None, None]
    gray = (light_here * weights).sum(1, keepdim=True)
    dark = exposure(light).mean(1) * SHADING.floor
    share = gray / (gray + dark[:, None, None, None])
    return torch.log(gray + (light_here - gray) * share + floor)


def occlusion(transfer: Tensor, normals: Tensor, light: Tensor) -> Tensor:
    """`(B, 1, H, W)` natural logarithm of what arrives of a light over its bare irradiance.

    What arrives has shadows and bounces; both are kept from darkness as in `log_shading`.
    Precomputed radiance transfer (Sloan et al. 2002): what a point receives is linear in the light.

    Args:
        transfer: `(B, 9, H, W)` what occluders and bounces change of a point's irradiance, per
            coefficient.
        normals: `(B, 3, H, W)` in the light's axes.
        light: `(B, 9)`, gray.
    """
    bare = irradiance(light[..., None], normals)
    change = (light[:, None] @ transfer.flatten(2)).view_as(bare)
    floor = shading_floor(light[..., None])[..., None, None]
    arriving = functional.softplus((bare + change) * 4) / 4
    shares: Tensor = torch.log((arriving + floor) / (bare.clamp(min=0) + floor)).clamp(-2.5, 1.0)
    return shares


def turned(light: Tensor, rotation: Tensor) -> Tensor:
    """A light in the axes of heads.

    Args:
        light: `(B, 9, C)` in camera space.
        rotation: `(B, 3, 3)`, which takes the heads' axes into camera space.

    Returns:
        `(B, 9, C)`.
    """
    directions, projection = _sphere(light.device)
    return projection @ (basis(rotation @ directions.T).transpose(1, 2) @ light)


def asked_light(light: Tensor, rotation: Tensor) -> Tensor:
    """`(B, 9)` what the shading encoder is told of a light `(B, 9, 3)`.

    That is where it comes from as the head sees it, colourless, the first coefficient 1.
    """
    gray = light @ constant(LUMINANCE, light)
    gray = turned(gray[..., None], rotation)[..., 0]
    return gray / gray[:, :1].clamp(min=1e-3)


@cache
def _sphere(device: torch.device) -> tuple[Tensor, Tensor]:
    """`(N, 3)` directions all over, and `(9, N)` from radiance there to coefficients."""
    with torch.inference_mode(False):
        index = torch.arange(_DIRECTIONS, dtype=torch.float32) + 0.5
        z, angle = 1 - 2 * index / _DIRECTIONS, index * (math.pi * (3 - math.sqrt(5)))
        r = torch.sqrt(1 - z * z)
        directions = torch.stack([r * torch.cos(angle), r * torch.sin(angle), z], dim=1)
        projection = torch.linalg.pinv(basis(directions.T[None])[0].T)
        return directions.to(device), projection.to(device)
