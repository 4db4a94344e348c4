"""A head as the network knows it, small, to be shaded in any light."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.compositing.gain import soft_limit
from vcam_relight.pipeline.compositing.portrait import MAP_SIDE, Portrait
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map, RgbGain
from vcam_relight.pipeline.engines.triplane.head_estimate import (
    HeadEstimate,
    LightOfGain,
    ShadingAmounts,
)
from vcam_relight.pipeline.engines.triplane.highlights import lobe_highlights
from vcam_relight.pipeline.engines.triplane.shading import HeadShadingParams, light_change
from vcam_relight.pipeline.engines.triplane.trust import blend, person_trust, without_color
from vcam_relight.pipeline.engines.triplane.visibility import VisibilityParams, lobe_visibility
from vcam_relight.pipeline.lighting.lift import Lift
from vcam_relight.pipeline.lighting.lobes import DistantLight
from vcam_relight.pipeline.lighting.shading import log_shading

_ROUGH = VisibilityParams(steps=10)
"""Shadows of a picture of a few dozen pixels."""


def portrait_of(
    estimate: HeadEstimate,
    image: BgrImage,
    skin: Map,
    source: FloatArray,
    lift: Lift,
    source_color: float,
    color: float,
) -> Portrait:
    """A portrait of what is known of a head.

    It is `head_gain` without what cannot be seen so small: the refiner, what the network says of
    cast shadows for one light alone, and reflections of lights without edges.

    Args:
        estimate: what is known.
        image: `(n, n, 3)` the head's crop.
        skin: `(64, 64)` 0..1.
        source: `(9, 3)` the source lighting that bodies are taken to have.
        lift: of the frame.
        source_color: as of `ShadingAmounts`.
        color: 0..1, as of `color_trust`.
    """
    maps = estimate.maps
    normals = _small(maps.normal)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-6)
    albedo = np.maximum(_small(maps.albedo), HeadShadingParams().least_albedo)
    old = _small(estimate.shading.of(source_color))
    depth, opacity = (
        functional.avg_pool2d(values, 2)[0, 0].numpy()
        for values in (estimate.volume.depth, estimate.volume.opacity)
    )
    person = _small(torch.from_numpy(person_trust(maps)[None, None, ..., 0]))[..., 0]

    def gain_of(light: DistantLight, settings: RelightSettings) -> RgbGain:
        amounts = ShadingAmounts(settings.shadows, settings.highlights, source_color)
        change = light_change(estimate, LightOfGain(light, amounts))
        scale = float(estimate.pose.scale[0])
        sees = lobe_visibility(depth, opacity, scale, light.lobes, MAP_SIDE, _ROUGH)
        sees = 1 - (1 - sees) * np.float32(settings.shadows)
        new = log_shading(light, normals, sees)
        if settings.highlights > 0:
            shine = lobe_highlights(light.lobes, normals, sees) * np.float32(settings.highlights)
            new = np.log(np.exp(new) + shine / albedo)
        gain = soft_limit((new - old) * np.float32(change))
        return gain if color == 1 else blend(without_color(gain, light.sh), gain, color)

    return Portrait(image, skin, person, source, lift, gain_of)


def _small(values: Tensor) -> FloatArray:
    """`(64, 64, C)` of `(1, C, n, n)`."""
    small = functional.avg_pool2d(values, values.shape[-1] // MAP_SIDE)
    return np.ascontiguousarray(small[0].permute(1, 2, 0).numpy())
