"""Takes the camera's noise out of what the network says from frame to frame."""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.engines.triplane.network.model import Maps
from vcam_relight.pipeline.engines.triplane.temporal.optical_flow import Path

_SETTLE_S = 0.3
"""Time constant of changes too small to be anything but noise."""
_NORMAL, _PRESENT = 0.45, 0.8
"""Changes of a normal (length) and of the present shading (logarithm) that are taken over at once:
a head that turns, a shadow that moves."""


def steadied(last: Maps, new: Maps, path: Path, dt: float) -> Maps:
    """The maps of a crop, with small changes since `last`, `dt` seconds ago, followed slowly.

    What was believed of a surface goes with it, along `path`. The occlusion is left alone: it
    belongs to the light asked for, which must never lag.
    """
    least = 1 - math.exp(-max(dt, 0.0) / _SETTLE_S)
    return replace(
        new,
        normal=_followed(_carried(last.normal, path), new.normal, least, _NORMAL),
        present=_followed(_carried(last.present, path), new.present, least, _PRESENT),
    )


def _carried(values: Tensor, path: Path) -> Tensor:
    moved = path.carry(np.ascontiguousarray(values[0].permute(1, 2, 0).numpy()))
    return torch.from_numpy(moved).permute(2, 0, 1)[None]


def _followed(last: Tensor, new: Tensor, least: float, sure: float) -> Tensor:
    step = new - last
    size = step.square().sum(1, keepdim=True).sqrt()
    return last + step * torch.clamp(least + (1 - least) * (size / sure) ** 2, max=1.0)
