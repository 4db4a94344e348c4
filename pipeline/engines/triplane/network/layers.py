"""Building blocks.

All convolutions are followed by their nonlinearity, none by a normalisation: batches are small
while training, and one image large while running. Parts have names; that some of them are kept as
sequences is what checkpoints call them.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Conv(nn.Sequential):
    """3x3 (or 1x1) convolution and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        convolution.bias = nn.Parameter(torch.zeros(outputs))
        super().__init__(convolution, nn.ReLU(inplace=True))

    @property
    def convolution(self) -> nn.Conv2d:
        """The part with weights."""
        return cast(nn.Conv2d, self[0])


class ResidualBlock(nn.Module):
    """Two convolutions around which the input passes (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Conv(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.normal_(self.second.weight, std=0.01)  # close to the identity at first

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same."""
        return functional.relu(x + self.second(self.first(x)))


class Stage(nn.Sequential):
    """A convolution that enters a level, and a residual block on it."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(Conv(inputs, outputs, stride), ResidualBlock(outputs))

    @property
    def entry(self) -> Conv:
        """The convolution."""
        return cast(Conv, self[0])

    @property
    def residual(self) -> ResidualBlock:
        """The block."""
        return cast(ResidualBlock, self[1])


class Merge(nn.Module):
    """Brings coarse features to a finer level and adds that level's own."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, fine, 1)
        self.conv = Conv(fine, fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """`(B, C, H, W)` and `(B, F, 2H, 2W)` to `(B, F, 2H, 2W)`."""
        raised = functional.interpolate(
            self.reduce(coarse), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        merged: Tensor = self.conv(raised + fine)
        return merged


def sample(features: Tensor, places: Tensor) -> Tensor:
    """Bilinear samples.

    Args:
        features: `(B, C, H, W)`.
        places: `(B, N, 2)` x and y in -1..1 from edge to edge.

    Returns:
        `(B, C, N)`; beyond the edges the edge's own.
    """
    taken = functional.grid_sample(
        features, places[:, None], mode="bilinear", padding_mode="border", align_corners=False
    )
    return taken[:, :, 0]


def affine(features: Tensor, scale_shift: Tensor) -> Tensor:
    """FiLM (Perez et al. 2018): `(B, C, H, W)` scaled and shifted by `(B, 2C)`."""
    scale, shift = scale_shift[:, :, None, None].chunk(2, dim=1)
    return features * (1 + scale) + shift
