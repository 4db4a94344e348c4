"""3x3 convolutions with constant weights, on a CPU faster than the library's own.

Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2016, arXiv 1509.09308) needs a quarter of
a direct convolution's multiplications. What comes before and after these is done by kernels of
`pipeline.native`, or by `_inputs` and `_outputs`, which say the same in plain torch. On a GPU the
library does all of this itself.
"""

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcam_relight.pipeline.engines.paper.workers import run_parallel
from vcam_relight.pipeline.native.network import network_kernels

_NARROW = 96
"""Channels, in or out, below which the transforms cost more than the multiplications they save."""
_TILES = 128
"""In a piece of work: what is held of them fits the cache."""
_LINE = 16
"""Numbers in a cache line."""


@cache
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """The transforms of the paper's section 4.3, for two dimensions at once.

    Returns:
        Those of inputs `(36, 36)`, weights `(36, 9)` and outputs `(16, 36)`, in float64.
    """
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
        shape = weight.shape[:2]
        whole = all(channels % _LINE == 0 for channels in shape)
        full = weight.dtype == torch.float32
        if weight.device.type == "cpu" and min(shape) >= _NARROW and whole and full:
            _, weights, _ = _matrices()
            # 9 taps of each pair of channels to 36, in float64 for the rounding's sake.
            taps = weight.permute(2, 3, 1, 0).flatten(2).flatten(0, 1).double()
            product = (weights @ taps).float()
            self._transformed = product.view(36, weight.shape[1], weight.shape[0])
            native = network_kernels()
            self._to_inputs = native.winograd_inputs if native else _inputs
            self._to_outputs = native.winograd_outputs if native else _outputs
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
        if self._transformed is not None and tiles:
            return self._winograd(x, self._transformed, bias, scale)
        if scale is not None:
            x = x * scale[:, None, None].to(x.dtype)
        return F.conv2d(x, self._weight, bias, padding=d, dilation=d)

    def _winograd(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor | None
    ) -> Tensor:
        """See `__call__`.

        Tiles of 4x4 outputs, `d` pixels apart from each other, come from 6x6 inputs; all tiles'
        transformed inputs at one of the 36 positions are multiplied by one matrix.
        """
        d = self._dilation
        image = x[0].permute(1, 2, 0).contiguous()
        height, width, inputs = image.shape
        out = x.new_empty(height, width, weight.shape[2])
        per_row = width * d // 4
        rows = max(1, _TILES // per_row)  # of tiles

        def band(index: int) -> None:
            top = index * rows * 4 * d
            tiles = min(rows, (height - top) // (4 * d)) * per_row
            # A line between the planes: the same pixel of each of them would else fall on the
            # same line of the cache.
            room = x.new_empty(36, tiles * inputs + _LINE)
            transformed = room[:, :-_LINE].view(36, tiles, inputs)
            self._to_inputs(image, scale, top, d, transformed)
            self._to_outputs(torch.bmm(transformed, weight), bias, top, d, out)

        run_parallel(band, -(-height // (rows * 4 * d)))
        return out.permute(2, 0, 1)[None]


def _inputs(image: Tensor, scale: Tensor | None, top: int, d: int, out: Tensor) -> None:
    """A band's tiles, transformed.

    Args:
        image: `(h, w, c)`; what is outside it counts as 0.
        scale: `(c,)` multiplies them.
        top: the band's first row.
        d: dilation.
        out: `(36, tiles, c)`.
    """
    height, width, channels = image.shape
    across = width // (4 * d)
    count = out.shape[1] // (across * d * d)  # rows of tiles
    end = top + count * 4 * d
    band = image.new_zeros(end - top + 2 * d, width + 2 * d, channels)
    first, last = max(top - d, 0), min(end + d, height)
    band[first - top + d : last - top + d, d:-d] = image[first:last]
    line, pixel = band.stride(0), band.stride(1)
    tiles = band.as_strided(
        (6, 6, count, d, across, d, channels),
        (d * line, d * pixel, 4 * d * line, line, 4 * d * pixel, pixel, 1),
    )
    to_inputs = _matrices()[0].float()
    out.copy_(torch.mm(to_inputs, tiles.reshape(36, -1)).view(out.shape))
    if scale is not None:
        out.mul_(scale)


def _outputs(products: Tensor, bias: Tensor | None, top: int, d: int, out: Tensor) -> None:
    """Products `(36, tiles, c)` to the rows from `top` on of `out` `(h, w, c)`, plus `bias`."""
    across = out.shape[1] // (4 * d)
    count = products.shape[1] // (across * d * d)
    to_outputs = _matrices()[2].float()
    places = torch.mm(to_outputs, products.view(36, -1))
    places = places.view(4, 4, count, d, across, d, -1).permute(2, 0, 3, 4, 1, 5, 6)
    target = out[top : top + count * 4 * d].view(places.shape)
    target.copy_(places if bias is None else places + bias)


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution of stride 1 that keeps the size."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=bias)
        self._spacing = dilation
        self._kernel: Kernel | None = None

    def prepare(self, dtype: torch.dtype = torch.float32) -> None:
        """Derives, once the weights are there, what no frame changes."""
        self.to(dtype)
        self._kernel = Kernel(self.weight.detach(), self._spacing)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(1, inputs, h, w)` to `(1, outputs, h, w)`."""
        if self._kernel is None:
            raise RuntimeError("prepare the network once its weights are loaded")
        return self._kernel(x, self.bias)
