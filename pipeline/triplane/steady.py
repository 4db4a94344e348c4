"""Takes the camera's noise out of what the network says from frame to frame."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from pipeline.triplane.network import Maps

_SETTLE_S = 0.2
"""Time constant of changes too small to be anything but noise."""
_NORMAL, _PRESENT = 0.35, 0.6
"""Changes of a normal (length) and of the present shading (logarithm) that are taken over at once:
a head that turns, a shadow that moves."""


def steadied(last: Maps | None, new: Maps, dt: float) -> Maps:
    """The maps of a crop, with small changes since `last`, `dt` seconds ago, followed slowly.

    The crop moves with the head, so that a pixel stays on its place of the face. The occlusion is
    left alone: it belongs to the light asked for, which must never lag.
    """
    if last is None:
        return new
    least = 1 - math.exp(-max(dt, 0.0) / _SETTLE_S)
    return replace(
        new,
        normal=_followed(last.normal, new.normal, least, _NORMAL),
        present=_followed(last.present, new.present, least, _PRESENT),
    )


def _followed(last: Tensor, new: Tensor, least: float, sure: float) -> Tensor:
    step = new - last
    size = step.square().sum(1, keepdim=True).sqrt()
    return last + step * torch.clamp(least + (1 - least) * (size / sure) ** 2, max=1.0)
