"""From what is known of a head and a target lighting to the gain of each pixel."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.compositing.gain import soft_limit
from vcam_relight.pipeline.core.image import FloatArray, RgbGain
from vcam_relight.pipeline.engines.triplane.head_estimate import HeadEstimate, LightOfGain
from vcam_relight.pipeline.engines.triplane.highlights import lobe_highlights
from vcam_relight.pipeline.engines.triplane.network.model import OUTPUT, Maps
from vcam_relight.pipeline.engines.triplane.network.refiner import (
    Refiner,
    ShadingTerms,
    refiner_features,
)
from vcam_relight.pipeline.engines.triplane.trust import blend, lighting_without_color
from vcam_relight.pipeline.engines.triplane.visibility import lobe_visibility
from vcam_relight.pipeline.lighting.sh_torch import (
    irradiance,
    log_irradiance,
    log_shading,
    radiance,
)
from vcam_relight.pipeline.lighting.target import lighting_difference


@dataclass(frozen=True, slots=True)
class HeadShadingParams:
    """How skin reflects."""

    reflectance: float = 0.028
    """Of skin at normal incidence."""
    grazing: float = 0.3
    """Of Fresnel's rise towards grazing angles: rough surfaces hide most of it from themselves."""
    roughness: float = 0.18
    """How quickly a light's harmonics are blurred by band: GGX of alpha 0.3."""
    least_albedo: float = 0.03
    """What a highlight counts as lying on at least."""


_PARAMS = HeadShadingParams()
BAND_DECAY: FloatArray = np.array([0.0] + [1.0] * 3 + [4.0] * 5, np.float32)
"""Times `roughness`, the logarithm by which a reflection loses each harmonic."""
_VIEW = torch.tensor([0.0, 0.0, 1.0])[:, None, None]


def head_gain(
    estimate: HeadEstimate,
    light: LightOfGain,
    refiner: Refiner | None,
    params: HeadShadingParams = _PARAMS,
) -> RgbGain:
    """What the linear light of a head's crop is to be multiplied by, wherever that leaves it.

    Args:
        estimate: what is known of the head.
        light: that it is to be shown in.
        refiner: what corrects it; None: nothing does.
        params: how skin reflects.

    Returns:
        `(n, n, 3)`, bounded by `soft_limit`.
    """
    target, amounts = light.target, light.amounts
    if light_change(estimate, light) == 0:  # the light that there is: most faces under `auto`
        return np.ones((OUTPUT, OUTPUT, 3), np.float32)
    terms = shading_terms(estimate, light, params)
    log_gain = terms.new - terms.old
    if refiner is not None:
        # It has learned what is amiss where all is shown; less would be taken for amiss.
        whole = replace(amounts, shadows=1.0, highlights=1.0)
        all_shown = LightOfGain(target, whole)
        asked = terms if amounts == whole else shading_terms(estimate, all_shown, params)
        log_gain = log_gain + refiner(refiner_features(estimate.maps, estimate.linear, asked))
    log_gain = log_gain * terms.difference
    return soft_limit(np.ascontiguousarray(log_gain[0].permute(1, 2, 0).numpy()))


def shading_terms(
    estimate: HeadEstimate, shown: LightOfGain, params: HeadShadingParams = _PARAMS
) -> ShadingTerms:
    """What is taken out of a head's crop, and what is put in; arguments as of `head_gain`."""
    target, amounts = shown.target, shown.amounts
    maps, light = estimate.maps, torch.from_numpy(target.sh)[None]
    normals = np.ascontiguousarray(maps.normal[0].permute(1, 2, 0).numpy())
    sees = lobe_visibility(
        estimate.volume.depth[0, 0].numpy(),
        estimate.volume.opacity[0, 0].numpy(),
        float(estimate.pose.scale[0]),
        target.lobes,
        OUTPUT,
    )
    sees = 1 - (1 - sees) * np.float32(amounts.shadows)
    even = irradiance(torch.from_numpy(target.remainder)[None], maps.normal).clamp(min=0)
    bare = even + _channels_first(target.lobes.irradiance(normals))
    direct = even + _channels_first(target.lobes.irradiance(normals, sees))
    # Depth knows where a shadow ends, the network how deep it is and what bounces into it. Both see
    # the same shadow: it is not cast twice.
    cast = direct / bare.clamp(min=params.least_albedo)
    learned = torch.exp(amounts.shadows * maps.occlusion)
    arriving = torch.where(learned < 1, torch.minimum(cast, learned), cast * learned)
    new = diffuse = log_irradiance(bare * arriving, light)
    if amounts.highlights > 0:
        specular = _specular(maps, torch.from_numpy(target.remainder)[None], params)
        specular = specular + _channels_first(lobe_highlights(target.lobes, normals, sees))
        albedo = maps.albedo.clamp(min=params.least_albedo)
        new = torch.log(torch.exp(new) + specular * amounts.highlights / albedo)
    return ShadingTerms(
        old=estimate.shading.of(amounts.source_color),
        smooth=_gray(log_shading(torch.from_numpy(estimate.source)[None], maps.normal)),
        new=new,
        shadows=_gray(diffuse - log_irradiance(bare, light)),
        cast=_gray(log_irradiance(direct, light) - log_irradiance(bare, light)),
        shine=_gray(new - diffuse),
        difference=light_change(estimate, shown),
    )


def light_change(estimate: HeadEstimate, light: LightOfGain) -> float:
    """0..1, how far the source lighting and the target count as different."""
    colors = light.amounts.source_color
    seen = blend(lighting_without_color(estimate.source), estimate.source, colors)
    return lighting_difference(seen, light.target.sh)


def _gray(values: Tensor) -> Tensor:
    return values.mean(1, keepdim=True)


def _channels_first(values: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 0)))[None]


def _specular(maps: Maps, light: Tensor, params: HeadShadingParams) -> Tensor:
    """`(1, 3, n, n)` specular radiance over pi.

    The light's harmonics, blurred by a rough lobe, are seen in the mirror direction, by Fresnel's
    reflectance (Schlick 1994).
    """
    facing = maps.normal[:, 2:].clamp(0, 1)
    mirror = 2 * facing * maps.normal - _VIEW  # of unit length where the normal faces the camera
    mirror = mirror / mirror.square().sum(1, keepdim=True).sqrt()
    gloss = torch.from_numpy(np.exp(-BAND_DECAY * params.roughness).astype(np.float32))
    glossy = radiance(light * gloss[:, None], mirror).clamp(min=0)
    away = 1 - facing
    rise = (1 - params.reflectance) * params.grazing
    fresnel = params.reflectance + rise * (away.square().square() * away)
    return glossy * fresnel * torch.exp(maps.occlusion.clamp(max=0))
