"""`network.layers` on the kernels of `pipeline/native`; each layer fills an image of its own.

Images are `(N, H + 2, W + 2, C)`: channels last, with a border of zeros; where a kernel writes, C
is a multiple of `LANES`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vcam_relight.pipeline.engines.triplane.network.layers import Merge, ResidualBlock
from vcam_relight.pipeline.native.network import NetworkKernels

LANES = 16
"""Channels come in multiples of it."""


class NativeConv:
    """A convolution and the image that it fills."""

    def __init__(
        self,
        kernels: NetworkKernels,
        conv: nn.Conv2d,
        side: int,
        count: int = 1,
        positive: bool = True,
    ) -> None:
        """Packs the weights.

        Args:
            kernels: that run it.
            conv: with a bias.
            side: of what comes out, in pixels.
            count: of images.
            positive: whether a ReLU follows.
        """
        self._kernels, self._stride, self._positive = kernels, conv.stride[0], positive
        self._weight, self._bias = packed(conv.weight, bias_of(conv))
        self.channels = len(self._bias)
        self._output = new_image(side, self.channels, count)

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """With `add`, of the output's shape, added before the ReLU."""
        self._kernels.convolve(
            x, self._weight, self._bias, self._stride, add, self._positive, self._output
        )
        return self._output


class NativeUpsample:
    """Bilinear enlargement to twice the side, and the image that it fills."""

    def __init__(self, kernels: NetworkKernels, side: int, channels: int, count: int = 1) -> None:
        self._kernels, self._output = kernels, new_image(side, channels, count)

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """With `add`, of the output's shape, added."""
        self._kernels.doubled(x, add, self._output)
        return self._output


class NativeResidual:
    """`ResidualBlock`."""

    def __init__(
        self, kernels: NetworkKernels, block: ResidualBlock, side: int, count: int = 1
    ) -> None:
        self._first = NativeConv(kernels, block.first.convolution, side, count)
        self._second = NativeConv(kernels, block.second, side, count)

    def __call__(self, x: Tensor) -> Tensor:
        """See `ResidualBlock.forward`."""
        return self._second(self._first(x), add=x)


class NativeMerge:
    """`Merge`."""

    def __init__(self, kernels: NetworkKernels, merge: Merge, side: int) -> None:
        self._reduce = NativeConv(kernels, merge.reduce, side // 2, positive=False)
        self._upsample = NativeUpsample(kernels, side, merge.reduce.out_channels)
        self._conv = NativeConv(kernels, merge.conv.convolution, side)

    def __call__(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """See `Merge.forward`."""
        return self._conv(self._upsample(self._reduce(coarse), add=fine))


def new_image(side: int, channels: int, count: int = 1) -> Tensor:
    """An empty image as the kernels want it, with its border of zeros."""
    return torch.zeros(count, side + 2, side + 2, channels)


def inner(image: Tensor) -> Tensor:
    """The image without its border."""
    return image[:, 1:-1, 1:-1]


def packed(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and biases as the kernels want them, with zeros for outputs that are missing.

    Args:
        weight: `(outputs, inputs, k, k)`.
        bias: `(outputs,)`.

    Returns:
        `(ceil(outputs / 16), k, k, inputs, 16)`, and a multiple of 16.
    """
    missing = -len(weight) % LANES
    weight = functional.pad(weight.detach(), (0, 0, 0, 0, 0, 0, 0, missing))
    lanes = weight.view(-1, LANES, *weight.shape[1:]).permute(0, 3, 4, 2, 1)
    return lanes.contiguous(), functional.pad(bias.detach(), (0, missing))


def bias_of(layer: nn.Conv2d | nn.Linear) -> Tensor:
    """`(outputs,)`, which torch takes for optional and every layer of the network has."""
    if layer.bias is None:
        raise ValueError("a layer of the network has no bias")
    return layer.bias.detach()
