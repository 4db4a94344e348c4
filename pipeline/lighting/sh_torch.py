"""Light in torch: the basis, irradiance and turning of `pipeline.lighting.sh`, differentiable."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.lighting.estimation import FRONT_MEAN

LUMA = (0.2126, 0.7152, 0.0722)
"""Of linear RGB."""
FLOOR = 0.08
"""Share of a light's exposure added to its irradiance everywhere: light that order-2 SH does not
know of, bounced by whatever is near."""
_DIRECTIONS = 64
_LAMBERT = [math.pi] + [2 * math.pi / 3] * 3 + [math.pi / 4] * 5


def basis(normals: Tensor) -> Tensor:
    """`(B, 9, ...)` the real orthonormal basis at `(B, 3, ...)` unit vectors, in the order and
    frame of `pipeline.lighting.sh`.
    """
    x, y, z = normals[:, 0], -normals[:, 2], normals[:, 1]
    a, b = math.sqrt(3 / (4 * math.pi)), 3 * math.sqrt(5 / (12 * math.pi))
    one = torch.full_like(x, 1 / math.sqrt(4 * math.pi))
    return torch.stack(
        [
            one, a * y, a * z, a * x, b * x * y, b * y * z,
            (b / (2 * math.sqrt(3))) * (3 * z * z - 1), b * x * z, (b / 2) * (x * x - y * y),
        ],
        dim=1,
    )  # fmt: skip


def radiance(coefficients: Tensor, directions: Tensor) -> Tensor:
    """`(B, C, H, W)` of `(B, 9, C)` coefficients at `(B, 3, H, W)` unit vectors."""
    values = coefficients.transpose(1, 2) @ basis(directions.flatten(2))
    return values.reshape(*values.shape[:2], *directions.shape[2:])


def irradiance(light: Tensor, normals: Tensor) -> Tensor:
    """`(B, C, H, W)` for `(B, 9, C)` radiance and normals `(B, 3, H, W)`; may be below 0 where
    order 2 is.
    """
    return radiance(light * light.new_tensor(_LAMBERT)[:, None], normals)


def log_shading(light: Tensor, normals: Tensor, exposure: Tensor) -> Tensor:
    """`(B, 3, H, W)` natural logarithm of irradiance, kept from darkness and, where it is dark,
    from colours that are not there.

    Args:
        light: `(B, 9, 3)` radiance.
        normals: `(B, 3, H, W)`.
        exposure: `(B, 3)` irradiance that a face gets of it on average.
    """
    floor = exposure.clamp(min=0.05)[:, :, None, None] * FLOOR
    light_here = irradiance(light, normals).clamp(min=0)
    gray = (light_here * light.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    share = gray / (gray + FLOOR * exposure.mean(1)[:, None, None, None])
    return torch.log(gray + (light_here - gray) * share + floor)


def occlusion(transfer: Tensor, normals: Tensor, light: Tensor) -> Tensor:
    """`(B, 1, H, W)` natural logarithm of what arrives of a light, shadows and bounces included,
    over its irradiance on the bare normals; both kept from darkness as in `log_shading`.

    Precomputed radiance transfer (Sloan et al. 2002): what a point receives is linear in the light.

    Args:
        transfer: `(B, 9, H, W)` what the surroundings change of a point's irradiance, per
            coefficient.
        normals: `(B, 3, H, W)`, and light `(B, 9)`, gray, in the same axes.
    """
    bare = irradiance(light[..., None], normals)
    change = (light[:, None] @ transfer.flatten(2)).view_as(bare)
    floor = FLOOR * (light @ torch.from_numpy(FRONT_MEAN).to(light)).clamp(min=0.05)
    floor = floor[:, None, None, None]
    arriving = functional.softplus((bare + change) * 4) / 4
    shares: Tensor = torch.log((arriving + floor) / (bare.clamp(min=0) + floor)).clamp(-2.5, 1.0)
    return shares


def turned(light: Tensor, rotation: Tensor) -> Tensor:
    """`(B, 9, C)` the light `(B, 9, C)` of camera space in the axes of heads that `(B, 3, 3)`
    rotates into camera space.
    """
    directions = _sphere().to(light)
    seen = basis(rotation @ directions.T).transpose(1, 2) @ light
    result: Tensor = torch.linalg.pinv(basis(directions.T[None])[0].T) @ seen
    return result


def asked_light(light: Tensor, rotation: Tensor) -> Tensor:
    """`(B, 9)` what the shading encoder is told of `(B, 9, 3)`: where the light comes from as the
    head sees it, colourless, the first coefficient 1.
    """
    gray = light @ light.new_tensor(LUMA)
    gray = turned(gray[..., None], rotation)[..., 0]
    return gray / gray[:, :1].clamp(min=1e-3)


def _sphere() -> Tensor:
    index = torch.arange(_DIRECTIONS, dtype=torch.float32) + 0.5
    z, angle = 1 - 2 * index / _DIRECTIONS, index * (math.pi * (3 - math.sqrt(5)))
    r = torch.sqrt(1 - z * z)
    return torch.stack([r * torch.cos(angle), r * torch.sin(angle), z], dim=1)
