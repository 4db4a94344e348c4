"""The temporal network: from the tri-planes of five frames to a correction of the newest.

Its attention sees sequences of one element, as released (the maps are given to PyTorch's
MultiheadAttention with places in the place of the batch). The softmax of one number is 1, so
attention is `out_proj(v_proj(x))`, and the whole network works on each place of the planes alone.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcam_relight.pipeline.engines.paper.triplane import PLANES
from vcam_relight.pipeline.engines.paper.workers import run_parallel

FRAMES = 5
_HEADS = 4
_CHUNK = 2048
"""Places worked on at a time: what the network holds of them fits a core's cache."""


class _Block(nn.Module):
    """Post-norm attention and feed-forward. The attention's name in the checkpoint differs."""

    def __init__(self, attention: str) -> None:
        super().__init__()
        self._attention = attention
        self.add_module(attention, nn.MultiheadAttention(PLANES, _HEADS))
        self.feedforward = nn.ModuleDict({"0": nn.Linear(PLANES, 512), "2": nn.Linear(512, PLANES)})
        self.norm1 = nn.LayerNorm(PLANES)
        self.norm2 = nn.LayerNorm(PLANES)

    def folded(self) -> tuple[Tensor, Tensor]:
        """The attention as one matrix `(96, 96)` and bias `(96,)`."""
        attention = self.get_submodule(self._attention)
        value = attention.get_parameter("in_proj_weight")[2 * PLANES :]
        bias = attention.get_parameter("in_proj_bias")[2 * PLANES :]
        weight = attention.get_parameter("out_proj.weight")
        return weight @ value, F.linear(bias, weight, attention.get_parameter("out_proj.bias"))

    def forward(self, x: Tensor, source: Tensor, fold: tuple[Tensor, Tensor]) -> Tensor:
        x = self.norm1(F.linear(source, *fold).add_(x))
        hidden = F.relu_(self.feedforward["0"](x))
        y: Tensor = self.norm2(self.feedforward["2"](hidden).add_(x))
        return y


class TemporalNetwork(nn.Module):
    """Works on `(places, 5, 96)` of each stream, the oldest frame first."""

    def __init__(self) -> None:
        super().__init__()
        stacked = FRAMES * PLANES
        self.combine_channels = nn.Conv2d(stacked, PLANES, 1)
        self.input_convs1 = nn.Conv2d(PLANES, PLANES, 1)
        self.input_convs2 = nn.Conv2d(PLANES, PLANES, 1)
        self.transformer_blocks_stream1 = nn.ModuleList(_Block("self_attention") for _ in range(4))
        self.transformer_blocks_stream2 = nn.ModuleList(_Block("self_attention") for _ in range(4))
        self.cross_attention_blocks = nn.ModuleList(_Block("cross_attention") for _ in range(4))
        self.output_conv1 = nn.ConvTranspose2d(PLANES, stacked, 1)
        self.output_conv2 = nn.ConvTranspose2d(PLANES, stacked, 1)
        self.output_conv1_2 = nn.ConvTranspose2d(PLANES, PLANES, 1)
        self.output_conv2_2 = nn.ConvTranspose2d(PLANES, PLANES, 1)

    def forward(self, albedo: Tensor, shading: Tensor, order: list[int]) -> tuple[Tensor, Tensor]:
        """The corrections of both tri-planes, to be added to the newest frame's.

        Args:
            albedo: `(5, places, 96)`, the last five frames' planes.
            shading: the same of the shading planes.
            order: which of the five is the oldest, the next, ..., the newest.

        Returns:
            Two of `(places, 96)`.
        """
        folds = [
            [block.folded() for block in blocks if isinstance(block, _Block)]
            for blocks in (
                self.transformer_blocks_stream1,
                self.transformer_blocks_stream2,
                self.cross_attention_blocks,
            )
        ]
        out = (torch.empty_like(albedo[0]), torch.empty_like(shading[0]))
        cpu = albedo.device.type == "cpu"
        chunk = _CHUNK if cpu else albedo.shape[1]

        def some(index: int) -> None:
            part = slice(index * chunk, (index + 1) * chunk)
            frames1 = albedo[order, part].transpose(0, 1)
            frames2 = shading[order, part].transpose(0, 1)
            out[0][part], out[1][part] = self._places(frames1, frames2, folds)

        run_parallel(some, -(-albedo.shape[1] // chunk))
        return out

    def _places(
        self, frames1: Tensor, frames2: Tensor, folds: list[list[tuple[Tensor, Tensor]]]
    ) -> tuple[Tensor, Tensor]:
        a = _pointwise(
            self.input_convs1, F.relu_(_pointwise(self.combine_channels, frames1.flatten(1)))
        )
        s = _pointwise(
            self.input_convs2, F.relu_(_pointwise(self.combine_channels, frames2.flatten(1)))
        )
        for block1, block2, cross, fold1, fold2, fold3 in zip(
            self.transformer_blocks_stream1,
            self.transformer_blocks_stream2,
            self.cross_attention_blocks,
            *folds,
            strict=True,
        ):
            a, s = block1(a, a, fold1), block2(s, s, fold2)
            s = cross(s, a, fold3)
            a = cross(a, s, fold3)
        return (
            _mix(a, frames1, self.output_conv1, self.output_conv1_2),
            _mix(s, frames2, self.output_conv2, self.output_conv2_2),
        )


def _pointwise(conv: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """A 1x1 convolution of `(*, inputs)`."""
    weight = conv.weight.flatten(1)
    return F.linear(x, weight.t() if isinstance(conv, nn.ConvTranspose2d) else weight, conv.bias)


def _mix(
    x: Tensor, frames: Tensor, first: nn.ConvTranspose2d, second: nn.ConvTranspose2d
) -> Tensor:
    factors = F.relu_(_pointwise(first, x)).view(-1, FRAMES, PLANES)
    return (_pointwise(second, factors) * frames).sum(1)


@dataclass(slots=True)
class PlaneHistory:
    """The last five frames of one stream. Make one per stream; all memory is taken at once."""

    albedo: Tensor
    """`(5, places, 96)`."""
    shading: Tensor
    """`(5, places, 96)`."""
    frozen: bool = False
    """Keep frames 1 to 5 for ever, as the released code does by mistake; for comparing with it."""
    count: int = 0
    """Frames seen since the start."""
    light: Tensor | None = None
    """`(1, 9)` of the newest frame."""

    def reset(self) -> None:
        """Forget the stream: a cut, a new source, a new face."""
        self.count = 0
        self.light = None

    @property
    def order(self) -> list[int]:
        """The slots from the oldest to the newest frame."""
        newest = FRAMES - 1 if self.frozen else (self.count - 1) % FRAMES
        return [(newest + 1 + k) % FRAMES for k in range(FRAMES)]

    def push(self, albedo: Tensor, shading: Tensor, sh: Tensor) -> None:
        """Remembers a frame's planes, each `(1, 96, h, w)`, made under the light `(1, 9)`.

        The first frame fills the ring. After a change of light the remembered shading is of a light
        that is gone: it is replaced by the newest, so that the change shows at once and only what
        is known of the person stays smoothed.
        """
        changed = self.light is not None and not torch.equal(self.light, sh)
        self.light = sh.clone()
        if self.frozen and self.count >= FRAMES:
            return
        slot = self.count % FRAMES
        self.albedo[slot if self.count else slice(None)] = places(albedo)
        whole = not self.count or (changed and not self.frozen)
        self.shading[slice(None) if whole else slot] = places(shading)
        self.count += 1


def new_history(size: int, device: torch.device, frozen: bool = False) -> PlaneHistory:
    """An empty state for planes of `size` x `size`."""
    shape = (FRAMES, size * size, PLANES)
    return PlaneHistory(
        torch.empty(shape, device=device), torch.empty(shape, device=device), frozen
    )


def places(planes: Tensor) -> Tensor:
    """`(h * w, 96)` of a tri-plane `(1, 96, h, w)`."""
    return planes[0].flatten(1).t()
