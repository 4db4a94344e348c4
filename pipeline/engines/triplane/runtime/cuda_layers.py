"""`network.layers` on the kernels of `pipeline/cuda`; each layer fills an image of its own.

Images are `(N, S + 2, S + 2, C)` halves: channels last, in multiples of 16, with a border of zeros.
Layers begin work on their stream and do not wait for it.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.cuda.device import AnyArray, Buffer, Stream
from vcam_relight.pipeline.engines.triplane.network.layers import Merge, ResidualBlock
from vcam_relight.pipeline.engines.triplane.runtime.native_layers import LANES, bias_of

_ADD, _POSITIVE, _FILM = 1, 2, 4
_ENOUGH = 512
"""Warps that keep a card busy: with fewer, several share what is one's."""


class CudaConv:
    """A convolution and the image that it fills."""

    def __init__(
        self,
        stream: Stream,
        conv: nn.Conv2d,
        side: int,
        count: int = 1,
        positive: bool = True,
        film: Buffer | None = None,
    ) -> None:
        """Packs the weights.

        Args:
            stream: that it runs on.
            conv: with a bias.
            side: of what comes out, in pixels; a multiple of 16.
            count: of images.
            positive: whether a ReLU follows.
            film: `(2 C,)` floats: scale less 1 and shift of the outputs, after the ReLU.
        """
        weight, bias = packed_halves(conv.weight, bias_of(conv))
        self._stream, self._side = stream, side
        self._kernel, self._stride = conv.kernel_size[0], conv.stride[0]
        self._inputs = -(-conv.in_channels // LANES) * LANES
        self.channels = len(bias)
        self._weight, self._bias = uploaded(stream, weight), uploaded(stream, bias)
        self._film, self._flags = film, _POSITIVE * positive + _FILM * (film is not None)
        self._output = new_image(stream, side, self.channels, count)
        pieces, steps = count * side * side // 16, self._kernel**2 * self._inputs // 16
        self._wide = self.channels % 32 == 0 and pieces * self.channels >= 32 * _ENOUGH
        warps = pieces * self.channels // (32 if self._wide else 16)
        self._split = next((n for n in (1, 2) if warps * n >= _ENOUGH or steps < 2 * n), 4)
        self._blocks = (-(-pieces * self._split // 4), self.channels // (32 if self._wide else 16))

    def __call__(self, x: Buffer, add: Buffer | None = None) -> Buffer:
        """With `add`, of the output's shape, added before the ReLU."""
        self._stream.launch(
            "convolve_32" if self._wide else "convolve_16", (*self._blocks, 1), 128,
            x, self._weight, self._bias, add or self._output, self._film or self._bias,
            self._output, self._side, self._inputs, self.channels, self._kernel,
            self._stride, self._split, self._flags + _ADD * (add is not None),
        )  # fmt: skip
        return self._output


class CudaUpsample:
    """Bilinear enlargement to twice the side, and the image that it fills."""

    def __init__(self, stream: Stream, side: int, channels: int, count: int = 1) -> None:
        self._stream, self._size = stream, (count, side // 2, channels)
        self._output = new_image(stream, side, channels, count)

    def __call__(self, x: Buffer, add: Buffer | None = None) -> Buffer:
        """With `add`, of the output's shape, added."""
        count, side, channels = self._size
        self._stream.launch(
            "enlarge", blocks_of(count * 4 * side * side * channels // 2, 256), 256,
            x, add or self._output, self._output, count, side, channels, int(add is not None),
        )  # fmt: skip
        return self._output


class CudaResidual:
    """`ResidualBlock`."""

    def __init__(self, stream: Stream, block: ResidualBlock, side: int, count: int = 1) -> None:
        self._first = CudaConv(stream, block.first.convolution, side, count)
        self._second = CudaConv(stream, block.second, side, count)

    def __call__(self, x: Buffer) -> Buffer:
        """See `ResidualBlock.forward`."""
        return self._second(self._first(x), add=x)


class CudaMerge:
    """`Merge`."""

    def __init__(self, stream: Stream, merge: Merge, side: int) -> None:
        self._reduce = CudaConv(stream, merge.reduce, side // 2, positive=False)
        self._upsample = CudaUpsample(stream, side, self._reduce.channels)
        self._conv = CudaConv(stream, merge.conv.convolution, side)

    def __call__(self, coarse: Buffer, fine: Buffer) -> Buffer:
        """See `Merge.forward`."""
        return self._conv(self._upsample(self._reduce(coarse), add=fine))


def new_image(stream: Stream, side: int, channels: int, count: int = 1) -> Buffer:
    """An image of zeros."""
    image = stream.card.empty((count, side + 2, side + 2, channels), np.float16)
    stream.clear(image)
    return image


def uploaded(stream: Stream, values: Tensor | AnyArray) -> Buffer:
    """A copy on the card."""
    array = values.detach().numpy() if isinstance(values, Tensor) else values
    array = np.ascontiguousarray(array)
    buffer = stream.card.empty(array.shape, array.dtype.type)
    stream.upload(buffer, array)
    return buffer


def blocks_of(count: int, threads: int) -> tuple[int, int, int]:
    """How many blocks have so many threads in all."""
    return (-(-count // threads), 1, 1)


def packed_halves(weight: Tensor, bias: Tensor) -> tuple[AnyArray, FloatArray]:
    """Weights and biases as `convolution.cu` wants them, with zeros for channels that are missing.

    Each group of 8 outputs and step of 16 inputs is the second factor of a product on tensor
    cores: lane 4 g + t has the weights of output g for the inputs 4 t to 4 t + 3.

    Args:
        weight: `(outputs, inputs, k, k)`.
        bias: `(outputs,)`.

    Returns:
        `(outputs / 8, k * k * inputs / 16, 32, 4)` halves, and a multiple of 16 floats.
    """
    outputs, inputs = -len(weight) % LANES, -weight.shape[1] % LANES
    weight = functional.pad(weight.detach(), (0, 0, 0, 0, 0, inputs, 0, outputs))
    groups = weight.reshape(len(weight) // 8, 8, -1, 4, 4, *weight.shape[2:])  # G g step t i y x
    lanes = groups.permute(0, 5, 6, 2, 1, 3, 4).reshape(len(groups), -1, 32, 4)
    return lanes.to(torch.float16).numpy(), functional.pad(bias.detach(), (0, outputs)).numpy()
