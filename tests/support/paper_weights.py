"""Weights for tests of the paper's network: the released ones are not ours to ship."""

import math

import torch
from torch import Tensor

from vcam_relight.pipeline.engines.paper.network import PaperNetwork

_FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def random_network(size: int) -> PaperNetwork:
    """Random weights that keep values in bounds, for images of `size` pixels.

    Only the stored noise of the shading encoder depends on the size.
    """
    network = PaperNetwork()
    for block in (network.encoders.shading_encoder.b0, network.encoders.shading_encoder.b1):
        for layer in (block.conv0, block.conv1):
            layer.noise_const = torch.empty(size // 2, size // 2)
    generator = torch.Generator().manual_seed(0)
    state = {
        name: _fill(name, tuple(value.shape), generator)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    return network


def _fill(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if name.endswith("resample_filter"):
        return _FILTER.clone()
    if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "affine.bias")):
        return torch.ones(shape)
    if len(shape) < 2:
        return torch.full(shape, 0.05)
    value = torch.empty(shape).normal_(generator=generator)
    # Equalised layers and modulated ones normalise for themselves.
    own = ("mapping_lit", "affine", "decoder.net", ".b0.", ".b1.", "superresolution", "noise")
    return value if any(part in name for part in own) else value / math.sqrt(value[0].numel())


def empty_state() -> dict[str, Tensor]:
    """Every name and shape that is needed, as zeros that take no room in a file."""
    shapes = {name: value.shape for name, value in PaperNetwork().state_dict().items()}
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
