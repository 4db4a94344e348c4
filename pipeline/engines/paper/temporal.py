"""The temporal network: from the tri-planes of five frames to a correction of the newest.

Its attention sees sequences of one element, as released (the maps are given to PyTorch's
MultiheadAttention with places in the place of the batch). The softmax of one number is 1, so
attention is `out_proj(v_proj(x))`, and the whole network works on each place of the planes alone.
"""

from collections.abc import Sequence
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

    def prepare(self) -> None:
        """Folds the attention, once the weights are there."""
        self._fold = self.folded()

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        x = self.norm1(F.linear(source, *self._fold).add_(x))
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

    def forward(
        self, albedo: Tensor, shading: Tensor, order: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """The corrections of both tri-planes, to be added to the newest frame's.

        Args:
            albedo: `(5, places, 96)`, the last five frames' planes.
            shading: the same of the shading planes.
            order: which of the five is the oldest, the next, ..., the newest.

        Returns:
            Two of `(places, 96)`.
        """
        out = (torch.empty_like(albedo[0]), torch.empty_like(shading[0]))
        cpu = albedo.device.type == "cpu"
        chunk = _CHUNK if cpu else albedo.shape[1]

        def some(index: int) -> None:
            part = slice(index * chunk, (index + 1) * chunk)
            frames = (torch.stack([one[k, part] for k in order], 1) for one in (albedo, shading))
            out[0][part], out[1][part] = self._places(*frames)

        run_parallel(some, -(-albedo.shape[1] // chunk))
        return out

    def prepare(self) -> None:
        """Derives, once the weights are there, what no frame changes."""
        for module in self.modules():
            if isinstance(module, _Block):
                module.prepare()

    def _places(self, frames1: Tensor, frames2: Tensor) -> tuple[Tensor, Tensor]:
        a = _pointwise(
            self.input_convs1, F.relu_(_pointwise(self.combine_channels, frames1.flatten(1)))
        )
        s = _pointwise(
            self.input_convs2, F.relu_(_pointwise(self.combine_channels, frames2.flatten(1)))
        )
        for block1, block2, cross in zip(
            self.transformer_blocks_stream1,
            self.transformer_blocks_stream2,
            self.cross_attention_blocks,
            strict=True,
        ):
            a, s = block1(a, a), block2(s, s)
            s = cross(s, a)
            a = cross(a, s)
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


@dataclass(slots=True, eq=False, weakref_slot=True)
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
    light: tuple[float, ...] = ()
    """SH coefficients of the newest frame's."""

    def reset(self) -> None:
        """Forget the stream: a cut, a new source, a new face."""
        self.count = 0
        self.light = ()

    @property
    def order(self) -> list[int]:
        """The slots from the oldest to the newest frame."""
        newest = FRAMES - 1 if self.frozen else (self.count - 1) % FRAMES
        return [(newest + 1 + k) % FRAMES for k in range(FRAMES)]

    def next(self, light: tuple[float, ...]) -> "Turn":
        """What becomes of the next frame, made under a light of 9 SH coefficients.

        The first frame fills the ring. After a change of light the remembered shading is of a light
        that is gone: it is replaced by the newest, so that the change shows at once and only what
        is known of the person stays smoothed.
        """
        first, changed = not self.count, bool(self.light) and self.light != light
        self.light = light
        slots: tuple[slice, slice] | None = None
        if not self.frozen or self.count < FRAMES:
            own, every = slice(self.count % FRAMES, self.count % FRAMES + 1), slice(0, FRAMES)
            whole = first or (changed and not self.frozen)
            slots = (every if first else own, every if whole else own)
            self.count += 1
        return Turn(slots, tuple(self.order))

    def push(self, albedo: Tensor, shading: Tensor, turn: "Turn") -> None:
        """Remembers a frame's planes, each `(1, 96, h, w)`."""
        if turn.slots is not None:
            self.albedo[turn.slots[0]] = places(albedo)
            self.shading[turn.slots[1]] = places(shading)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a frame does with the memory of its stream."""

    slots: tuple[slice, slice] | None
    """That its albedo and its shading are written to; None: it is not remembered."""
    order: tuple[int, ...]
    """See `PlaneHistory.order`, from then on."""


def new_history(
    size: int, device: torch.device, frozen: bool = False, dtype: torch.dtype = torch.float32
) -> PlaneHistory:
    """An empty state for planes of `size` x `size`."""
    shape = (FRAMES, size * size, PLANES)
    albedo, shading = (torch.empty(shape, device=device, dtype=dtype) for _ in range(2))
    return PlaneHistory(albedo, shading, frozen)


def places(planes: Tensor) -> Tensor:
    """`(h * w, 96)` of a tri-plane `(1, 96, h, w)`."""
    return planes[0].flatten(1).t()
