"""The lighting that there is, as the network's maps tell it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.engines.triplane.network.model import Maps
from vcam_relight.pipeline.lighting.estimation import fit
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.sh import LAMBERT
from vcam_relight.pipeline.lighting.sh import basis as sh_basis

_CELL = 4
"""Pixels of the maps that are looked at as one."""


@dataclass(frozen=True, slots=True)
class SourceShadingParams:
    """How far the network's source shading is trusted."""

    least_cells: int = 40
    """Below which too little of the person is visible to tell the lighting."""
    person: float = 0.9
    """Mask value from which a cell is the person's."""
    colour: float = 0.6
    """Share kept of the colours that the network sees in the source lighting..."""
    around: int = 11
    spot: float = 0.3
    """...but of a highlight's all that differ from those around it, in a square of so many cells:
    white, which would turn gray. It is brighter by so much (natural logarithm)."""
    shown: float = 0.6
    """Share of a highlight's colour that is read from the image over the albedo, not from the
    network's shading, which takes too little white out: olive foreheads."""
    sheen: float = 0.5
    """Share of a highlight that stays, beyond `spot`: where the camera saw white no skin is
    known."""
    black: float = 0.01
    """Linear light and albedo below which colours are noise."""


_PARAMS = SourceShadingParams()


def fit_source(maps: Maps, params: SourceShadingParams = _PARAMS) -> FloatArray:
    """`(9, 3)` RGB radiance of the source lighting, in the scale of `maps.present`.

    It is what explains the source shading on the person's normals.
    """
    small, normals, person = (
        functional.avg_pool2d(values, _CELL)
        for values in (maps.present.clamp(-5, 5).exp(), maps.normal, torch.sigmoid(maps.mask))
    )
    use = person[0, 0] > params.person
    if int(use.sum()) < params.least_cells:
        return AMBIENT * np.float32(small.mean())
    shading = small[0][:, use].T.numpy()
    level = np.float32(max(float(shading.mean()), 1e-4))
    unit = functional.normalize(normals[0][:, use].T, dim=1).numpy()
    light: FloatArray = fit(sh_basis(unit) * LAMBERT, np.asarray(shading / level)) * level
    return light


@dataclass(frozen=True, slots=True)
class RemovableShading:
    """Of the source lighting, as far as it is safe to take out.

    `(1, 3, n, n)` RGB, natural logarithm, for a source lighting of exposure 1.
    """

    level: Tensor
    """Without the source lighting's colours, but with those that the image has in highlights."""
    colour: Tensor
    """A share of its colours."""

    def of(self, colour: float) -> Tensor:
        """With that share, 0..1, of `colour`."""
        return self.level + self.colour * colour


def removable_shading(
    maps: Maps, linear: Tensor, exposure: FloatArray, params: SourceShadingParams = _PARAMS
) -> RemovableShading:
    """What of `maps.present` may be taken out of the image.

    Args:
        maps: of one crop.
        linear: `(1, 3, n, n)` the crop's linear light, RGB.
        exposure: `(3,)` RGB of the source lighting in the scale of the maps.
        params: how far it is trusted.
    """
    gray = maps.present.mean(1, keepdim=True)
    colour = maps.present - gray
    shown = torch.log(linear + params.black) - torch.log(maps.albedo + params.black)
    shown = shown - shown.mean(1, keepdim=True)
    values = torch.cat([gray, colour, shown, torch.ones_like(gray)], 1) * torch.sigmoid(maps.mask)
    cells = functional.avg_pool2d(values, _CELL)
    around = functional.avg_pool2d(cells, params.around, 1, params.around // 2)
    around = around[:, :7] / around[:, 7:].clamp(min=1e-3)
    around = functional.interpolate(around, scale_factor=float(_CELL), mode="bilinear")
    excess, tint, shown_tint = gray - around[:, :1], colour - around[:, 1:4], shown - around[:, 4:]
    highlight = (excess / params.spot).clamp(0, 1)
    white = tint + params.shown * (shown_tint - tint)
    sheen = params.sheen * (excess - params.spot).clamp(min=0)
    even = torch.from_numpy(np.log(exposure))[None, :, None, None]
    level = even.mean()
    return RemovableShading(
        gray - level - sheen + white * (highlight * (1 - params.sheen)),
        params.colour * (colour - (even - level) - tint * highlight),
    )
