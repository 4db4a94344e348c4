"""All that one step asks of the network."""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.core.tensors import mapped
from vcam_relight.pipeline.engines.triplane.network.model import (
    Maps,
    TemporalState,
    TriplaneNetwork,
    Volume,
)
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting.sh_torch import asked_light
from vcam_relight.pipeline.train.losses import WEIGHTS, change, log_gain, losses, novel_loss
from vcam_relight.pipeline.train.samples import TrainingStep


def step_losses(network: TriplaneNetwork, step: TrainingStep, novel: bool) -> dict[str, Tensor]:
    """Unweighted losses by the names of `WEIGHTS`.

    Args:
        network: in training.
        step: what it is shown, on its device.
        novel: whether stills are also looked at from elsewhere.
    """
    state: TemporalState | None = None
    parts: dict[str, Tensor] = {}
    gains: list[Tensor] = []
    for batch in step.frames:
        light = asked_light(batch.light, batch.pose.rotation)
        maps, volume, state, planes = show(network, batch.image, batch.pose, light, state)
        for name, value in losses(network, batch, maps, volume).items():
            share = value / len(step.frames)
            parts[name] = parts[name] + share if name in parts else share
        gains.append(log_gain(maps, batch.light))
    if len(step.frames) > 1:
        parts["flicker"] = _flicker(step, gains)
    elif novel:
        parts["novel"] = novel_loss(network, step.frames[0], planes)
    return parts


def weighted(parts: dict[str, Tensor]) -> Tensor:
    """The sum that training lowers."""
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()


def show(
    network: TriplaneNetwork,
    image: Tensor,
    pose: HeadPose,
    light: Tensor,
    state: TemporalState | None,
) -> tuple[Maps, Volume, TemporalState, Tensor]:
    """The network's outputs in float32.

    On CUDA it computes in bfloat16, whose range needs no loss scaling; losses are always float32.
    Most CPUs have no bfloat16, and emulate it slowly.
    """
    with torch.autocast(image.device.type, torch.bfloat16, enabled=image.is_cuda):
        maps, volume, state, planes = network(image, pose, light, state)
    return (
        mapped(maps, Tensor.float),
        mapped(volume, Tensor.float),
        mapped(state, Tensor.float),
        planes.float(),
    )


def _flicker(step: TrainingStep, gains: list[Tensor]) -> Tensor:
    changes = []
    for t, (before, after) in enumerate(pairwise(gains)):
        valid = step.frames[t].person
        if step.motion is None:
            valid = valid * step.frames[t + 1].person
        else:
            after = _warped(after, step.motion.flow[:, t])
            valid = valid * step.motion.valid[:, t]
        changes.append(change(before, after, valid))
    return torch.stack(changes).mean()


def _warped(values: Tensor, flow: Tensor) -> Tensor:
    """The next frame's values at this frame's pixels."""
    side = values.shape[-1]
    line = torch.arange(side, dtype=torch.float32, device=values.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x + flow[:, 0], y + flow[:, 1]], dim=-1)
    places = (places + 0.5) * (2 / side) - 1
    return functional.grid_sample(values, places, padding_mode="border", align_corners=False)
