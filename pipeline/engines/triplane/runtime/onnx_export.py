"""The network as an ONNX file, for runtimes other than torch."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vcam_relight.pipeline.engines.triplane.network.model import (
    INPUT,
    TemporalGate,
    TemporalState,
    TriplaneNetwork,
)
from vcam_relight.pipeline.head.space import HeadPose

INPUTS = ("image", "rotation", "scale", "shift", "light", "state", "known")
OUTPUTS = (
    "normal", "albedo", "present", "occlusion", "mask",
    "volume_albedo", "volume_shading", "depth", "coarse_depth", "opacity",
    "next_state", "planes",
)  # fmt: skip
_OPSET = 17
"""The first that has all operators needed is 16, for `GridSample`; 17 is what runtimes of 2022 and
later read."""


def export_onnx(network: TriplaneNetwork, path: Path) -> None:
    """Writes the network, float32, for one image at a time.

    Inputs and outputs are those of `TriplaneNetwork.forward` with their fields spread out: `INPUTS`
    and `OUTPUTS` say how they are called. `known`, `(1,)`, is 1 where `state` `(3, C, 32, 32)` is
    what the last frame left as `next_state`, and 0 for a fresh start, whatever `state` is then.

    Raises:
        OSError: the file cannot be written.
    """
    side = network.unprojection.place.shape[-1]
    example = (
        torch.zeros(1, 3, INPUT, INPUT),
        torch.eye(3)[None],
        torch.ones(1),
        torch.zeros(1, 2),
        torch.eye(9)[:1],
        torch.zeros(3, network.unprojection.place.shape[1], side, side),
        torch.ones(1),
    )
    # The exporter that torch now prefers needs another package, onnxscript, for the same graph.
    torch.onnx.export(
        _Spread(network).eval(), example, str(path), dynamo=False, opset_version=_OPSET,
        input_names=list(INPUTS), output_names=list(OUTPUTS),
    )  # fmt: skip


@dataclass
class _SwitchedState(TemporalState):
    known: Tensor


class _SwitchedGate(nn.Module):
    """A graph has no None: both ways are in it."""

    def __init__(self, gate: TemporalGate) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, new: Tensor, state: _SwitchedState) -> Tensor:
        gated: Tensor = self.gate(new, state)
        return torch.where(state.known > 0, gated, new)


class _Spread(nn.Module):
    """The network with tensors in and out."""

    def __init__(self, network: TriplaneNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.network.temporal = _SwitchedGate(self.network.temporal)  # type: ignore[assignment]

    def forward(
        self, image: Tensor, rotation: Tensor, scale: Tensor, shift: Tensor, light: Tensor,
        state: Tensor, known: Tensor,
    ) -> tuple[Tensor | None, ...]:  # fmt: skip
        maps, volume, following, planes = self.network(
            image, HeadPose(rotation, scale, shift), light, _SwitchedState(state, known)
        )
        return (
            maps.normal, maps.albedo, maps.present, maps.occlusion, maps.mask,
            volume.albedo, volume.shading, volume.depth, volume.coarse_depth, volume.opacity,
            following.features, planes,
        )  # fmt: skip
