"""SegFormer's transformer blocks (Xie et al. 2021, arXiv 2105.15203) on channels-last maps.

A map `(1, c, h, w)` in channels-last memory and its tokens `(1, h * w, c)` are the same numbers in
the same order, so going from one to the other copies nothing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcam_relight.pipeline.engines.paper.workers import run_parallel

WIDTH = 1024
"""Features of a token."""
_QUERIES = 512
"""Attended to at a time: their scores fit the cache."""


class PatchEmbedding(nn.Module):
    """Overlapping 3x3 patches, two apart."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, WIDTH, 3, 2, 1)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(1, c, h, w)` to tokens `(1, h/2 * w/2, 1024)`."""
        y: Tensor = self.norm(_tokens(self.proj(x)))
        return y


class _Attention(nn.Module):
    """Attention over all tokens; `reduction` shrinks the map that keys and values come from."""

    def __init__(self, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(WIDTH, WIDTH)
        self.kv = nn.Linear(WIDTH, 2 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)
        self.sr: nn.Conv2d | None = None
        if reduction > 1:
            self.sr = nn.Conv2d(WIDTH, WIDTH, reduction, reduction)
            self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, height: int) -> Tensor:
        q = self._split(self.q(x))
        if self.sr is not None:
            x = self.norm(_tokens(self.sr(_map(x, height))))
        k, v = self.kv(x).chunk(2, dim=-1)
        y = _attend(q, self._split(k), self._split(v))
        out: Tensor = self.proj(y.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(1, -1, self.heads, x.shape[2] // self.heads).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention of `(1, heads, n, width)` over `(1, heads, m, width)`."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v)
    # Heads are 256 and 512 wide here. For those, two large products for some hundred queries at a
    # time run 1.5 times as fast on a CPU as torch's fused kernel.
    out = torch.empty_like(q.transpose(1, 2)).transpose(1, 2)
    keys = (k[0] * q.shape[3] ** -0.5).transpose(1, 2).contiguous()
    values = v[0].contiguous()
    parts = -(-q.shape[2] // _QUERIES)

    def attend(index: int) -> None:
        head, part = divmod(index, parts)
        some = slice(part * _QUERIES, (part + 1) * _QUERIES)
        scores = torch.softmax(q[0, head, some] @ keys[head], 1)
        torch.mm(scores, values[head], out=out[0, head, some])

    run_parallel(attend, q.shape[1] * parts)
    return out


class _Depthwise(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, 1, 1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dwconv(x)
        return y


class _Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 2 * WIDTH)
        self.dwconv = _Depthwise(2 * WIDTH)
        self.fc2 = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor, height: int) -> Tensor:
        y: Tensor = self.fc2(F.gelu(_tokens(self.dwconv(_map(self.fc1(x), height)))))
        return y


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward with a depthwise convolution inside."""

    def __init__(self, heads: int, reduction: int = 1) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attn = _Attention(heads, reduction)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = _Mlp()

    def forward(self, x: Tensor, height: int) -> Tensor:
        """Maps tokens `(1, height * width, 1024)` to the same shape."""
        x = x + self.attn(self.norm1(x), height)
        return x.add_(self.mlp(self.norm2(x), height))


def _tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def _map(tokens: Tensor, height: int) -> Tensor:
    return tokens.view(1, height, -1, tokens.shape[2]).permute(0, 3, 1, 2)


def shuffled_map(tokens: Tensor, height: int) -> Tensor:
    """The released network's way from tokens to a map of twice the resolution.

    It reads the token tensor as channels first without transposing it, which mixes places and
    features; the weights were trained so.

    Args:
        tokens: `(1, height * width, 1024)`.
        height: of the map that the tokens are of.

    Returns:
        `(1, 256, 2 height, 2 width)`, channels last.
    """
    x = tokens.contiguous().view(tokens.shape[0], WIDTH, height, -1)
    return F.pixel_shuffle(x, 2).contiguous(memory_format=torch.channels_last)
