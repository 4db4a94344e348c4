"""Deterministic volume rendering of the tri-planes (Chan et al. 2022, section 4).

After arXiv 2112.07945, with the middle of each stratum of depth and evenly spaced quantiles in the
place of random samples.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcam_relight.pipeline.engines.paper.camera import Rays
from vcam_relight.pipeline.engines.paper.layers import FullyConnected

FEATURES = 32
"""Of each plane, and of the image that is rendered."""
NEAR, FAR = 2.25, 3.3
"""Distances from the camera between which the head is."""
SAMPLES = 48
"""Per ray in each of the two passes."""


class FeatureDecoder(nn.Module):
    """Two equalised layers with softplus between."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        # The checkpoint numbers the softplus between them, too.
        self.net = nn.ModuleDict(
            {"0": FullyConnected(FEATURES, 64), "2": FullyConnected(64, outputs)}
        )

    def forward(self, features: Tensor) -> Tensor:
        """Maps `(*, 32)` to `(*, outputs)`."""
        y: Tensor = self.net["2"](F.softplus(self.net["0"](features)))
        return y


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the rays of one view saw, `n` of them."""

    colour: Tensor
    """`(n, 32)`, about -1..1; the first three are red, green and blue."""
    albedo: Tensor
    """`(n, 32)`, the same without shading."""
    shading: Tensor
    """`(n, 1)`, 0 where there is nothing."""
    depth: Tensor
    """`(n, 1)` distance along the ray."""


@dataclass(frozen=True, slots=True)
class _Samples:
    depths: Tensor  # (n, s)
    density: Tensor  # (n, s), before softplus
    albedo: Tensor  # (n, s, 32)
    shading: Tensor  # (n, s, 1)


class Field:
    """The volume that an albedo and a shading tri-plane span, each `(1, 96, h, w)`."""

    def __init__(
        self,
        albedo: Tensor,
        shading: Tensor,
        decoder: FeatureDecoder,
        shading_decoder: FeatureDecoder,
    ) -> None:
        self._size = (albedo.shape[2], albedo.shape[3])
        self._albedo, self._shading = _rows(albedo), _rows(shading)
        self._decoder, self._shading_decoder = decoder, shading_decoder
        self.device = albedo.device

    def density(self, points: Tensor) -> Tensor:
        """`(n,)` densities before softplus at world positions `(n, 3)`."""
        albedo = _gather(self._albedo, *_corners(points, *self._size))
        density: Tensor = self._decoder(albedo)[:, 0]
        return density

    def render(self, rays: Rays) -> Rendered:
        """Marches along `rays` in two passes: evenly, then where the first met something."""
        depths = _strata(rays.directions)
        coarse = self._sample(rays, depths)
        weights = _weights(coarse.density, depths)
        fine = self._sample(rays, importance(depths, weights))
        return _march(coarse, fine)

    def _sample(self, rays: Rays, depths: Tensor) -> _Samples:
        corners = _corners(rays.points(depths).view(-1, 3), *self._size)
        decoded = self._decoder(_gather(self._albedo, *corners)).view(*depths.shape, -1)
        light = self._shading_decoder(_gather(self._shading, *corners)).view(*depths.shape, 1)
        albedo = torch.sigmoid(decoded[..., 1:]).mul_(1.002).sub_(0.001)
        return _Samples(depths, decoded[..., 0], albedo, soft_exponential(light))


def soft_exponential(x: Tensor) -> Tensor:
    """With y = x / 10: exp(y) below y = 1, e y above, so that bright light grows no faster."""
    y = 0.1 * x
    return torch.where(y < 1, torch.exp(y.clamp(max=1)), torch.e * y)


def importance(depths: Tensor, weights: Tensor) -> Tensor:
    """Depths at even quantiles of smoothed weights (Mildenhall et al. 2020, section 5.2).

    Args:
        depths: `(n, s)`, growing.
        weights: `(n, s - 1)`, of the intervals between them.

    Returns:
        `(n, SAMPLES)`.
    """
    smooth = F.max_pool1d(weights[:, None], 2, 1, padding=1)
    smooth = F.avg_pool1d(smooth, 2, 1)[:, 0] + 0.01
    edges = 0.5 * (depths[:, 1:] + depths[:, :-1])
    density = smooth[:, 1:-1] + 1e-5
    density = density / density.sum(1, keepdim=True)
    cumulative = F.pad(density.cumsum(1), (1, 0))
    quantiles = torch.linspace(0, 1, SAMPLES, device=depths.device).expand(len(depths), -1)
    above = torch.searchsorted(cumulative, quantiles.contiguous(), right=True)
    last = cumulative.shape[1] - 1
    below, above = (above - 1).clamp_(min=0), above.clamp_(max=last)
    low, high = cumulative.gather(1, below), cumulative.gather(1, above)
    width = high - low
    part = (quantiles - low) / torch.where(width < 1e-5, torch.ones_like(width), width)
    start, end = edges.gather(1, below), edges.gather(1, above)
    return start + part * (end - start)


def _strata(directions: Tensor) -> Tensor:
    """`(n, SAMPLES)`: the middle of each stratum."""
    steps = torch.linspace(NEAR, FAR, SAMPLES, device=directions.device)
    middles = steps + 0.5 * (FAR - NEAR) / (SAMPLES - 1)
    return middles.expand(len(directions), -1)


def _weights(density: Tensor, depths: Tensor) -> Tensor:
    """`(n, s - 1)`: how much each interval between samples `(n, s)` adds to the image."""
    mid = 0.5 * (density[:, 1:] + density[:, :-1])
    clear = torch.exp(-F.softplus(mid - 1) * (depths[:, 1:] - depths[:, :-1]))
    behind = F.pad((clear + 1e-10).cumprod(1)[:, :-1], (1, 0), value=1.0)
    return (1 - clear) * behind


def _march(coarse: _Samples, fine: _Samples) -> Rendered:
    depths, order = torch.cat([coarse.depths, fine.depths], 1).sort(stable=True, dim=1)
    density = torch.cat([coarse.density, fine.density], 1).gather(1, order)
    weights = _weights(density, depths)
    # An interval's colour is the mean of its two ends: give each sample half of its neighbours'
    # weights, and the features need not be sorted.
    halves = 0.5 * weights
    per_sample = F.pad(halves, (0, 1)) + F.pad(halves, (1, 0))
    contribution = torch.empty_like(per_sample).scatter_(1, order, per_sample)
    split = coarse.depths.shape[1]
    first, second = contribution[:, None, :split], contribution[:, None, split:]

    def total(near: Tensor, far: Tensor) -> Tensor:
        return torch.baddbmm(first @ near, second, far)[:, 0]

    colour = total(coarse.albedo * coarse.shading, fine.albedo * fine.shading)
    depth = (per_sample * depths).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
    return Rendered(
        2 * colour - 1,
        2 * total(coarse.albedo, fine.albedo) - 1,
        total(coarse.shading, fine.shading),
        # The clamp also answers for rays that met nothing at all (0 / 0).
        torch.nan_to_num(depth, nan=float("inf")).clamp(depths.min(), depths.max()),
    )


def _rows(planes: Tensor) -> Tensor:
    """`(h * w * 3, 32)` table of a tri-plane: pixel by pixel, its three planes' features."""
    return planes.float().permute(0, 2, 3, 1).reshape(-1, FEATURES)


def _corners(points: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where in `_rows` the neighbours of world positions `(n, 3)` are on the three planes.

    The planes span (x, y), (x, z) and (z, x) from -0.5 to 0.5; outside they are 0.

    Returns:
        `(n, 12)` row numbers and their bilinear weights, which add up to 1 inside.
    """
    x, y, z = points.unbind(1)
    columns = (torch.stack([x, x, z], 1) + 0.5) * width - 0.5
    lines = (torch.stack([y, z, x], 1) + 0.5) * height - 0.5
    left, top = columns.floor(), lines.floor()
    right_share, bottom_share = columns - left, lines - top
    plane = torch.arange(3, device=points.device, dtype=torch.int32)
    rows, weights = [], []
    for dy, y_share in ((0, 1 - bottom_share), (1, bottom_share)):
        for dx, x_share in ((0, 1 - right_share), (1, right_share)):
            x, y = left + dx, top + dy
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            x, y = x.clamp_(0, width - 1).int(), y.clamp_(0, height - 1).int()
            rows.append((y * width + x) * 3 + plane)
            weights.append(x_share * y_share * inside)
    return torch.cat(rows, 1), torch.cat(weights, 1) * (1 / 3)


def _gather(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """`(n, 32)`: weighted sums of rows of a table."""
    # One contiguous row per neighbour: several times faster than grid_sample on a CPU.
    return F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")
