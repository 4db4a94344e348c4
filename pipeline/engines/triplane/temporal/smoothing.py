"""Takes the camera's noise out of what the network says from frame to frame."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.engines.triplane.network.model import Maps
from vcam_relight.pipeline.engines.triplane.temporal.optical_flow import FlowField


@dataclass(frozen=True, slots=True)
class MapSmoothingParams:
    """How quickly changes are followed."""

    time_constant_s: float = 0.3
    """Of changes too small to be anything but noise."""
    normal: float = 0.45
    source: float = 0.8
    """Changes of a normal (length) and of the source shading (logarithm) that are taken over at
    once: a head that turns, a shadow that moves."""


_PARAMS = MapSmoothingParams()


@dataclass(frozen=True, slots=True)
class Motion:
    """What happened to a head between two looks at it."""

    flow: FlowField
    """Of the crop's surfaces."""
    dt: float
    """Seconds."""

    @property
    def least(self) -> float:
        """Share of the smallest change that is followed."""
        return 1 - math.exp(-max(self.dt, 0.0) / _PARAMS.time_constant_s)


def smooth_maps(
    last: Maps, new: Maps, motion: Motion, params: MapSmoothingParams = _PARAMS
) -> Maps:
    """The maps of a crop, small changes followed slowly.

    What is known of a surface goes with it. The occlusion is left alone: it belongs to the target
    lighting, which must never lag.

    Args:
        last: the maps before.
        new: the maps now.
        motion: since.
        params: how quickly.
    """
    flow, least = motion.flow, motion.least
    return replace(
        new,
        normal=_followed(_warped(last.normal, flow), new.normal, least, params.normal),
        present=_followed(_warped(last.present, flow), new.present, least, params.source),
    )


def _warped(values: Tensor, flow: FlowField) -> Tensor:
    moved = flow.warp(np.ascontiguousarray(values[0].permute(1, 2, 0).numpy()))
    return torch.from_numpy(moved).permute(2, 0, 1)[None]


def _followed(last: Tensor, new: Tensor, least: float, sure: float) -> Tensor:
    step = new - last
    size = step.square().sum(1, keepdim=True).sqrt()
    return last + step * torch.clamp(least + (1 - least) * (size / sure) ** 2, max=1.0)
