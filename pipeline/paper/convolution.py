"""3x3 convolutions with constant weights, on a CPU faster than the library's own.

Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2016, arXiv 1509.09308) needs a quarter of
a direct convolution's multiplications. On a GPU the library does this itself.
"""

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_NARROW = 96
"""Channels, in or out, below which the transforms cost more than the multiplications they save."""
_TILES = 256
"""Tiles worked on at a time: what is held of them fits the cache."""


@cache
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Of the paper's section 4.3, for two dimensions at once: inputs `(36, 36)`, weights
    `(36, 9)`, outputs `(16, 36)`, in float64."""
    inputs = [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    weights: list[list[float]] = [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
    outputs = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]

    def both(rows: Sequence[Sequence[float]]) -> Tensor:
        matrix = torch.tensor(rows, dtype=torch.float64)
        return torch.kron(matrix, matrix)

    return both(inputs), both(weights), both(outputs)


class Kernel:
    """A 3x3 convolution of stride 1 that keeps the size."""

    def __init__(self, weight: Tensor, dilation: int = 1) -> None:
        """Args: `weight` is `(outputs, inputs, 3, 3)`."""
        self._weight = weight
        self._dilation = dilation
        self._transformed: Tensor | None = None  # (36, inputs, outputs)
        if weight.device.type == "cpu" and min(weight.shape[:2]) >= _NARROW:
            _, weights, _ = _matrices()
            # 9 taps of each pair of channels to 36, in float64 for the rounding's sake.
            taps = weight.permute(2, 3, 1, 0).flatten(2).flatten(0, 1).double()
            product = (weights @ taps).float()
            self._transformed = product.view(36, weight.shape[1], weight.shape[0])
        else:
            self._weight = weight.contiguous(memory_format=torch.channels_last)

    def __call__(
        self, x: Tensor, bias: Tensor | None = None, scale: Tensor | None = None
    ) -> Tensor:
        """Maps `(1, inputs, h, w)` to `(1, outputs, h, w)`.

        `bias` is `(outputs,)`; `scale`, `(inputs,)`, multiplies the inputs first.
        """
        d = self._dilation
        tiles = x.shape[2] % (4 * d) == 0 and x.shape[3] % (4 * d) == 0
        full = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if self._transformed is not None and tiles and full:
            y = _winograd(x, self._transformed, d, scale)
            return y if bias is None else y.add_(bias[:, None, None])
        if scale is not None:
            x = x * scale[:, None, None].to(x.dtype)
        return F.conv2d(x, self._weight.to(x.dtype), bias, padding=d, dilation=d)


def _winograd(x: Tensor, weight: Tensor, d: int, scale: Tensor | None) -> Tensor:
    """`(1, inputs, h, w)` to `(1, outputs, h, w)`; h and w are multiples of four dilations `d`.

    Tiles of 4x4 outputs, `d` apart from each other, come from 6x6 inputs; all tiles' transformed
    inputs at one of the 36 places are multiplied by one matrix.
    """
    to_inputs, _, to_outputs = (matrix.float() for matrix in _matrices())
    image = x[0].permute(1, 2, 0)
    height, width, channels = image.shape
    outputs = weight.shape[2]
    across = width // (4 * d)
    per_row = across * d * d
    rows = max(1, min(height // (4 * d), _TILES // per_row))  # of tiles, at a time
    band = x.new_zeros(4 * d * rows + 2 * d, width + 2 * d, channels)
    spread = x.new_empty(36, rows * per_row * channels)
    transformed = torch.empty_like(spread)
    products = x.new_empty(36, rows * per_row, outputs)
    small = x.new_empty(16, rows * per_row * outputs)
    out = x.new_empty(height, width, outputs)
    line, pixel = band.stride(0), band.stride(1)
    for top in range(0, height, 4 * d * rows):
        count = min(rows, (height - top) // (4 * d))
        if count < rows:  # the last ones: views of the same memory
            rows = count
            spread = spread.flatten()[: 36 * count * per_row * channels].view(36, -1)
            transformed = transformed.flatten()[: spread.numel()].view(36, -1)
            products = products.flatten()[: 36 * count * per_row * outputs]
            products = products.view(36, -1, outputs)
            small = small.flatten()[: 16 * count * per_row * outputs].view(16, -1)
        end = top + 4 * d * count
        first, last = max(top - d, 0), min(end + d, height)
        inside = band[first - top + d : last - top + d, d:-d]
        if scale is None:
            inside.copy_(image[first:last])
        else:
            torch.mul(image[first:last], scale, out=inside)
        band[last - top + d :].zero_()
        tiles = band.as_strided(
            (6, 6, count, d, across, d, channels),
            (d * line, d * pixel, 4 * d * line, line, 4 * d * pixel, pixel, 1),
        )
        spread.view(tiles.shape).copy_(tiles)
        torch.mm(to_inputs, spread, out=transformed)
        torch.bmm(transformed.view(36, -1, channels), weight, out=products)
        torch.mm(to_outputs, products.view(36, -1), out=small)
        target = out[top:end].view(count, 4, d, across, 4, d, outputs)
        source = small.view(4, 4, count, d, across, d, outputs)
        target.copy_(source.permute(2, 0, 3, 4, 1, 5, 6))
    return out.permute(2, 0, 1)[None]


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution of stride 1 that keeps the size: `(1, inputs, h, w)` to
    `(1, outputs, h, w)`."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=bias)
        self._spacing = dilation
        self._kernel: Kernel | None = None

    def prepare(self) -> None:
        """Derives, once the weights are there, what no frame changes."""
        self._kernel = Kernel(self.weight.detach(), self._spacing)

    def forward(self, x: Tensor) -> Tensor:
        if self._kernel is None:
            raise RuntimeError("prepare the network once its weights are loaded")
        return self._kernel(x, self.bias)
