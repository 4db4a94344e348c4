"""From the network's maps and two lights to the gain of each pixel."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.compositing.gain import soft_limit
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.engines.triplane.network.model import Maps
from vcam_relight.pipeline.lighting.estimation import fit
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.sh import LAMBERT
from vcam_relight.pipeline.lighting.sh import basis as sh_basis
from vcam_relight.pipeline.lighting.sh_torch import log_shading, radiance


@dataclass(frozen=True, slots=True)
class FaceShadingParams:
    """How the network's maps become a gain."""

    same: float = 0.05
    different: float = 0.35
    """Distances between two lights, relative to the present one, up to which they count as the same
    and from which as different: what the network takes the present shading for is put in the place
    of its model bit by bit, so that asking for the light that is there changes nothing."""
    colour: float = 0.6
    """Share kept of the colours that the network sees in the present light..."""
    around: int = 11
    """...but of a highlight's all that differ from those around it, in a square of so many cells of
    4 x 4 pixels: white, which would turn gray."""
    spot: float = 0.3
    """A highlight is brighter than what is around it by so much (natural logarithm)."""
    shown: float = 0.6
    """Share of a highlight's colour that is read from the image over the albedo, not from the
    network's shading, which takes too little white out: olive foreheads."""
    sheen: float = 0.3
    """Share of a highlight beyond `spot` that stays: under white there is no skin to know."""
    black: float = 0.01
    """Linear light and albedo below which colours are noise."""
    normal_reflectance: float = 0.028
    """Of skin at normal incidence."""
    grazing: float = 0.3
    """Of Fresnel's rise towards grazing angles: rough surfaces hide most of it from themselves."""
    least_cells: int = 40
    """Of 4 x 4 pixels, below which too little of the person is seen to tell the light."""


_PARAMS = FaceShadingParams()
_GLOSS = np.exp(-np.array([0.0] + [1.0] * 3 + [4.0] * 5, np.float32) * 0.18)
"""By band: what the lobe of a rough surface (GGX alpha 0.3) leaves of a light's harmonics."""
_VIEW = torch.tensor([0.0, 0.0, 1.0])[:, None, None]


@dataclass(frozen=True, slots=True)
class Amounts:
    """Of the parts of a light change."""

    shadows: float
    """0..1, of the new light's cast shadows."""
    highlights: float
    """0..1, of its reflections on the skin."""


def light_on(maps: Maps) -> FloatArray:
    """`(9, 3)` RGB radiance of the light that is there, in the scale of `maps.present`.

    It is what explains the present shading on the person's normals.
    """
    small, normals, person = (
        torch.nn.functional.avg_pool2d(m, 4) for m in
        (maps.present.clamp(-5, 5).exp(), maps.normal, torch.sigmoid(maps.mask))
    )  # fmt: skip
    use = person[0, 0] > 0.9
    if int(use.sum()) < _PARAMS.least_cells:
        return AMBIENT * np.float32(small.mean())
    shading = small[0][:, use].T.numpy()
    level = np.float32(max(float(shading.mean()), 1e-4))
    unit = torch.nn.functional.normalize(normals[0][:, use].T, dim=1).numpy()
    light: FloatArray = fit(sh_basis(unit) * LAMBERT, np.asarray(shading / level)) * level
    return light


def believed(maps: Maps, seen: Tensor) -> Tensor:
    """`maps.present` as far as it is safe to take out of the image.

    That is with a share of its colours, and highlights in the colours that the image has there.

    Args:
        maps: of one crop.
        seen: `(1, 3, n, n)` the crop's linear light, RGB.
    """
    gray = maps.present.mean(1, keepdim=True)
    colour = maps.present - gray
    shown = torch.log(seen + _PARAMS.black) - torch.log(maps.albedo + _PARAMS.black)
    shown = shown - shown.mean(1, keepdim=True)
    values = torch.cat([gray, colour, shown, torch.ones_like(gray)], 1) * torch.sigmoid(maps.mask)
    around = functional.avg_pool2d(
        functional.avg_pool2d(values, 4), _PARAMS.around, 1, _PARAMS.around // 2
    )
    around = around[:, :7] / around[:, 7:].clamp(min=1e-3)
    around = functional.interpolate(around, scale_factor=4.0, mode="bilinear")
    excess, tint, shown_tint = gray - around[:, :1], colour - around[:, 1:4], shown - around[:, 4:]
    spot = (excess / _PARAMS.spot).clamp(0, 1)
    white = tint + _PARAMS.shown * (shown_tint - tint) - _PARAMS.colour * tint
    sheen = _PARAMS.sheen * (excess - _PARAMS.spot).clamp(min=0)
    result: Tensor = gray - sheen + _PARAMS.colour * colour + white * spot
    return result


def difference(present: FloatArray, target: FloatArray) -> float:
    """0..1, how far two lights `(9, 3)` count as different; see `FaceShadingParams.same`."""
    distance = float(np.linalg.norm(target - present)) / max(float(np.linalg.norm(present)), 1e-6)
    return float(smoothstep(_PARAMS.same, _PARAMS.different, distance))


def face_gain(
    maps: Maps,
    shading: Tensor,
    level: FloatArray,
    present: FloatArray,
    target: FloatArray,
    amounts: Amounts,
    intensity: float,
) -> FloatArray:
    """What the linear light of a crop is to be multiplied by, wherever that leaves it.

    Args:
        maps: of one crop.
        shading: `(1, 3, n, n)` the present one as of `believed`.
        level: `(3,)` RGB natural logarithm of the present light's exposure in the scale of
            `maps.present`.
        present: `(9, 3)` radiance, of exposure 1.
        target: `(9, 3)` radiance at the exposure that is wanted, without `intensity`.
        amounts: of shadows and highlights.
        intensity: brightness of the new light.

    Returns:
        `(n, n, 3)` RGB, bounded by `soft_limit`.
    """
    light = torch.from_numpy(target)[None]
    new = log_shading(light, maps.normal)
    new = new + amounts.shadows * maps.occlusion
    if amounts.highlights > 0:
        shine = _shine(maps, light) * amounts.highlights
        new = torch.log(torch.exp(new) + shine / maps.albedo.clamp(min=0.03))
    present_here = shading - torch.from_numpy(level)[None, :, None, None]
    log_gain = (new - present_here) * difference(present, target) + math.log(intensity)
    return soft_limit(np.ascontiguousarray(log_gain[0].permute(1, 2, 0).numpy()))


def _shine(maps: Maps, light: Tensor) -> Tensor:
    """`(1, 3, n, n)` specular radiance over pi.

    The light's harmonics, blurred by a rough lobe, are seen in the mirror direction, by Fresnel's
    reflectance (Schlick 1994).
    """
    facing = maps.normal[:, 2:].clamp(0, 1)
    mirror = 2 * facing * maps.normal - _VIEW  # of unit length where the normal faces the camera
    mirror = mirror / mirror.square().sum(1, keepdim=True).sqrt()
    glossy = radiance(light * torch.from_numpy(_GLOSS)[:, None], mirror).clamp(min=0)
    away = 1 - facing
    facing_on, grazing = _PARAMS.normal_reflectance, _PARAMS.grazing
    fresnel = facing_on + (1 - facing_on) * grazing * (away.square().square() * away)
    return glossy * fresnel * torch.exp(maps.occlusion.clamp(max=0))
