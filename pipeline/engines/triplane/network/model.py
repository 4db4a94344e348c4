"""The network: image, pose and light in; what is true of the image's pixels out."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vcam_relight.pipeline.engines.triplane.network.layers import (
    Conv,
    Merge,
    Stage,
    affine,
    sample,
)
from vcam_relight.pipeline.head.space import HALF, HeadPose, pixel_places, plane_anchors
from vcam_relight.pipeline.lighting.sh_torch import occlusion

INPUT = 256
"""Side of the image in pixels."""
OUTPUT = 128
"""Side of the maps."""
_CELLS = 32
"""Side of the planes while they are worked on; they are drawn at twice that."""
_RAYS = 64
"""Side of the volume-rendered images."""
NEAR, FAR = 1.1, -1.5
"""dm from the head's origin towards the camera between which rays look for the surface."""
COARSE, FINE = 8, 4
"""Samples of a ray: evenly, then around the surface found."""
SPREAD = 0.12
"""dm between fine samples."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Channels."""

    stem: int = 16
    half: int = 32
    quarter: int = 64
    deep: int = 96
    plane: int = 32
    feature: int = 12
    maps: int = 16


@dataclass
class TemporalState:
    """What the network remembers of one person.

    It is in canonical head space, where a head that moves needs no warping.
    """

    features: Tensor
    """`(B * 3, C, 32, 32)` of the three planes."""


@dataclass(frozen=True, slots=True)
class Maps:
    """Of the crop, `(B, C, 128, 128)`; light is linear."""

    normal: Tensor
    """Unit vectors, camera space."""
    albedo: Tensor
    """RGB 0..1."""
    present: Tensor
    """Natural logarithm of what the light that is there makes of the albedo, highlights included,
    RGB, up to one constant."""
    occlusion: Tensor
    """Natural logarithm of the part of the target irradiance that arrives, 1 channel."""
    mask: Tensor
    """Logit of the person's coverage, 1 channel."""


@dataclass(frozen=True, slots=True)
class Volume:
    """What rays through the tri-planes bring back, `(B, C, S, S)`."""

    albedo: Tensor
    """Albedo features."""
    shading: Tensor | None
    """Shading features."""
    depth: Tensor
    """dm from the head's origin towards the camera, 1 channel."""
    coarse_depth: Tensor
    opacity: Tensor


class ImageEncoder(nn.Module):
    """Encoder A's image part: a small U-Net."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.full = Conv(12, s.stem)
        self.to_half = Stage(s.stem, s.half, 2)
        self.to_quarter = Stage(s.half, s.quarter, 2)
        self.to_deep = Stage(s.quarter, s.deep, 2)
        self.context = nn.Linear(s.deep, s.deep)
        self.up_quarter = Merge(s.deep, s.quarter)
        self.up_half = Merge(s.quarter, s.half)
        self.up_stem = Merge(s.half, s.stem)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Features of images.

        Args:
            image: `(B, 3, 256, 256)` RGB, sRGB-encoded, -1..1.

        Returns:
            Fine ones, `(B, stem, 128, 128)`, and those for the planes, `(B, quarter, 32, 32)`.
        """
        stem = self.full(functional.pixel_unshuffle(image, 2))
        half = self.to_half(stem)
        quarter = self.to_quarter(half)
        deep = self.to_deep(quarter)
        whole = functional.relu(self.context(deep.mean(dim=(2, 3))))
        deep = deep + whole[:, :, None, None]
        quarter = self.up_quarter(deep, quarter)
        fine = self.up_stem(self.up_half(quarter, half), stem)
        return fine, quarter


class Unprojection(nn.Module):
    """Takes an image's features to the three planes by the head's pose."""

    points: Tensor
    normals: Tensor

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        points, normals = plane_anchors(_CELLS)
        self.register_buffer("points", points, persistent=False)
        self.register_buffer("normals", normals, persistent=False)
        self.mix = Conv(2 * s.quarter + 2, s.plane, kernel=1)
        self.place = nn.Parameter(torch.zeros(3, s.plane, _CELLS, _CELLS))

    def forward(self, features: Tensor, pose: HeadPose) -> Tensor:
        """`(B, C, 32, 32)` to `(B * 3, plane, 32, 32)`."""
        batch, channels = features.shape[:2]
        taken = sample(features, pose.seen_at(self.points))
        facing = torch.einsum("bj,nj->bn", pose.rotation[:, 2], self.normals)
        taken = torch.cat([taken, facing[:, None]], dim=1)
        taken = taken.view(batch, channels + 1, 3, 2, _CELLS, _CELLS).permute(0, 2, 3, 1, 4, 5)
        planes: Tensor = self.mix(taken.reshape(batch * 3, 2 * (channels + 1), _CELLS, _CELLS))
        placed = planes.view(batch, 3, -1, _CELLS, _CELLS) + self.place
        return placed.reshape(planes.shape)


class TemporalGate(nn.Module):
    """The recurrent unit: per cell and channel, how much of the new is taken."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            Conv(3 * s.plane, s.plane, kernel=1), nn.Conv2d(s.plane, s.plane, 1)
        )

    @property
    def hidden(self) -> Conv:
        """The gate's first convolution."""
        return cast(Conv, self.gate[0])

    @property
    def logits(self) -> nn.Conv2d:
        """The gate's last convolution, before the sigmoid."""
        return cast(nn.Conv2d, self.gate[1])

    def forward(self, new: Tensor, state: TemporalState | None) -> Tensor:
        """`(B * 3, plane, 32, 32)` to the same; the result is the next state."""
        if state is None:
            return new
        old = state.features
        gate = torch.sigmoid(self.gate(torch.cat([new, old, (new - old).abs()], dim=1)))
        return old + gate * (new - old)


class AlbedoPlanes(nn.Module):
    """Encoder A's plane part: density and albedo features."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.trunk = Stage(s.plane, s.plane)
        self.out = nn.Conv2d(s.plane, s.feature, 3, padding=1)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """`(B * 3, plane, 32, 32)` to the trunk's features and `(B * 3, feature, 64, 64)`."""
        trunk = self.trunk(planes)
        return trunk, self.out(_doubled(trunk))


class ShadingPlanes(nn.Module):
    """Encoder S: the albedo features and the lighting to shading features."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.light = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 2 * s.plane))
        self.first, self.second = Conv(s.plane, s.plane), Conv(s.plane, s.plane)
        self.out = nn.Conv2d(s.plane, s.feature, 3, padding=1)

    def forward(self, trunk: Tensor, light: Tensor) -> Tensor:
        """Shading features under a light.

        Args:
            trunk: `(B * 3, plane, 32, 32)`, the first result of `AlbedoPlanes`.
            light: `(B, 9)` SH of the target light in head space, the first being 1.

        Returns:
            `(B * 3, feature, 64, 64)`.
        """
        film = self.light(light).repeat_interleave(3, dim=0)
        features: Tensor = self.out(_doubled(self.second(affine(self.first(trunk), film))))
        return features


class VolumeRenderer(nn.Module):
    """Few samples a ray, always at the same places: the same planes give the same image."""

    places: Tensor
    coarse: Tensor
    offsets: Tensor

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.density = nn.Linear(s.feature, 1)
        self.register_buffer("places", pixel_places(_RAYS), persistent=False)
        depths = torch.linspace(NEAR, FAR, COARSE)
        self.register_buffer("coarse", depths, persistent=False)
        offsets = torch.linspace(1, -1, FINE) * (SPREAD * (FINE - 1) / 2)
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, albedo: Tensor, shading: Tensor | None, pose: HeadPose) -> Volume:
        """`(B * 3, C, 64, 64)` planes to images of `_RAYS` pixels."""
        batch, rays = len(pose.scale), len(self.places)
        depths = self.coarse.expand(batch, rays, COARSE)
        features = _lookup(albedo, pose.lifted(self.places, depths))
        weights, opacity = self._weights(features, (NEAR - FAR) / (COARSE - 1))
        coarse = (weights * depths).sum(2) / (opacity + 1e-3) + FAR * (1e-3 / (opacity + 1e-3))
        depths = coarse[..., None] + self.offsets
        points = pose.lifted(self.places, depths)
        features = _lookup(albedo, points)
        weights, _ = self._weights(features, SPREAD)
        normalized = weights / (weights.sum(2, keepdim=True) + 1e-3)
        normalized = normalized + (1 - normalized.sum(2, keepdim=True)) / FINE
        depth = (normalized * depths).sum(2)

        def seen(samples: Tensor) -> Tensor:
            mixed = (samples * normalized[..., None]).sum(2)
            return mixed.transpose(1, 2).reshape(batch, -1, _RAYS, _RAYS)

        def image(values: Tensor) -> Tensor:
            return values.view(batch, 1, _RAYS, _RAYS)

        lit = None if shading is None else seen(_lookup(shading, points))
        return Volume(seen(features), lit, image(depth), image(coarse), image(opacity))

    def _weights(self, features: Tensor, step: float) -> tuple[Tensor, Tensor]:
        """`(B, N, K)` weights of the samples, and `(B, N)` their sum (Max 1995)."""
        depths = functional.softplus(self.density(features).squeeze(-1)) * (10 * step)
        reaching = torch.exp(-depths.cumsum(2))
        before = torch.cat([torch.ones_like(reaching[..., :1]), reaching[..., :-1]], dim=2)
        return before - reaching, 1 - reaching[..., -1]


class PixelHead(nn.Module):
    """Joins what the volume knows with the image's own fine features."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.albedo = nn.Conv2d(s.feature, s.maps, 1)
        self.shading = nn.Conv2d(s.feature, s.maps, 1)
        self.geometry = nn.Conv2d(5, s.maps, 1)
        self.fine = nn.Conv2d(s.stem, s.maps, 1)
        self.mix = nn.Sequential(nn.ReLU(inplace=True), Conv(s.maps, s.maps), Conv(s.maps, s.maps))
        self.own = nn.Conv2d(s.maps, 19, 1)
        self.volume_normal = nn.Conv2d(s.feature, 3, 1)
        self.volume_albedo = nn.Conv2d(s.feature, 3, 1)

    @property
    def mixing(self) -> tuple[Conv, Conv]:
        """The convolutions of `mix`."""
        return cast(Conv, self.mix[1]), cast(Conv, self.mix[2])

    def forward(self, volume: Volume, fine: Tensor, pose: HeadPose, light: Tensor) -> Maps:
        """Maps of the frame's own view; the light as of `TriplaneNetwork.forward`."""
        normal = self.normal(volume, pose)
        coarse = self.albedo(volume.albedo)
        if volume.shading is not None:
            coarse = coarse + self.shading(volume.shading)
        coarse = coarse + self.geometry(torch.cat([normal, volume.depth, volume.opacity], dim=1))
        out = self.own(self.mix(_doubled(coarse) + self.fine(fine)))
        return self.finished(_doubled(normal) + out[:, 0:3], out[:, 3:], pose, light)

    def finished(self, normal: Tensor, rest: Tensor, pose: HeadPose, light: Tensor) -> Maps:
        """Maps of what the last layer gives, `(B, 16, H, W)`, and normals of any length."""
        # A third of the time of `functional.normalize`.
        normal = normal / normal.square().sum(1, keepdim=True).sqrt().clamp(min=1e-4)
        own = torch.einsum("bij,bihw->bjhw", pose.rotation, normal)  # in head space
        shadows = occlusion(rest[:, 7:16], own, light)
        return Maps(normal, torch.sigmoid(rest[:, 0:3]), rest[:, 3:6], shadows, rest[:, 6:7])

    def normal(self, volume: Volume, pose: HeadPose) -> Tensor:
        """`(B, 3, S, S)` camera-space vectors, not of unit length, from the volume alone."""
        canonical = self.volume_normal(volume.albedo)
        return torch.einsum("bij,bjhw->bihw", pose.rotation, canonical)

    def albedo_of(self, volume: Volume) -> Tensor:
        """`(B, 3, S, S)` from the volume alone, for views in which the image has no pixels."""
        return torch.sigmoid(self.volume_albedo(volume.albedo))


class TriplaneNetwork(nn.Module):
    """All of it."""

    def __init__(self, sizes: Sizes | None = None) -> None:
        super().__init__()
        s = sizes or Sizes()
        self.encoder = ImageEncoder(s)
        self.unprojection = Unprojection(s)
        self.temporal = TemporalGate(s)
        self.albedo_planes = AlbedoPlanes(s)
        self.shading_planes = ShadingPlanes(s)
        self.renderer = VolumeRenderer(s)
        self.head = PixelHead(s)

    def forward(
        self, image: Tensor, pose: HeadPose, light: Tensor, state: TemporalState | None
    ) -> tuple[Maps, Volume, TemporalState, Tensor]:
        """One frame.

        Args:
            image: `(B, 3, 256, 256)` RGB, sRGB-encoded, -1..1.
            pose: of the heads in it.
            light: `(B, 9)` gray SH of the target light in head space, the first being 1.
            state: what the last frame left; None for a fresh start.

        Returns:
            The maps of the frame's own view, what its rays saw, the next state, and the albedo
            planes `(B * 3, feature, 64, 64)`, for other views.
        """
        fine, features = self.encoder(image)
        planes = self.temporal(self.unprojection(features, pose), state)
        trunk, albedo = self.albedo_planes(planes)
        shading = self.shading_planes(trunk, light)
        volume = self.renderer(albedo, shading, pose)
        maps = self.head(volume, fine, pose, light)
        return maps, volume, TemporalState(planes), albedo


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)


def _lookup(planes: Tensor, points: Tensor) -> Tensor:
    """`(B, N, K, C)` the sum of three planes' features `(B * 3, C, S, S)` at `(B, N, K, 3)`."""
    batch, rays, samples = points.shape[:3]
    x, y, z = (points / HALF).unbind(-1)
    places = torch.stack(
        [torch.stack([x, -y], -1), torch.stack([z, -y], -1), torch.stack([x, -z], -1)], dim=1
    )
    taken = sample(planes, places.view(batch * 3, rays * samples, 2))
    summed = taken.view(batch, 3, -1, rays * samples).sum(1)
    return summed.transpose(1, 2).reshape(batch, rays, samples, -1)
