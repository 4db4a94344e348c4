"""The network in real time on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.triplane import native
from pipeline.triplane.layers import Merge, Residual
from pipeline.triplane.network import (
    OUTPUT,
    AlbedoPlanes,
    ImageEncoder,
    Maps,
    PixelHead,
    ShadingPlanes,
    TemporalGate,
    TemporalState,
    TriplaneNetwork,
    Unprojection,
    Volume,
    VolumeRenderer,
)
from pipeline.triplane.space import HALF, HeadPose

_LANES = 16
"""Channels come in multiples of it."""
_DEPTH, _COARSE_DEPTH, _OPACITY = 32, 33, 34
"""Channels of what the kernel `render` writes, after 16 of albedo and 16 of shading features."""


class Runtime:
    """Runs a network whose weights no longer change, one picture at a time.

    With the kernels of `pipeline/triplane/native` the pictures in between are kept channels last,
    in buffers of this object: it is for one thread at a time. Without them the network runs as it
    is.
    """

    def __init__(self, network: TriplaneNetwork, threads: int | None = None) -> None:
        """Args: `threads` to use; by default as many as torch does."""
        kernels = native.kernels()
        network = network.eval()
        self._native = kernels is not None
        if kernels is None:
            self._forward = network.to(memory_format=torch.channels_last).forward
        else:
            kernels.threads(threads or torch.get_num_threads())
            self._forward = _Native(network, kernels).forward

    def run(
        self, picture: Tensor, pose: HeadPose, light: Tensor, state: TemporalState | None
    ) -> tuple[Maps, Volume, Tensor, TemporalState, Tensor]:
        """`TriplaneNetwork.forward` for a batch of one; what comes out stays as it is."""
        threads = torch.get_num_threads()
        if self._native:
            torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                return self._forward(picture, pose, light, state)
        finally:
            torch.set_num_threads(threads)


class _Conv:
    """A convolution and the picture that it fills."""

    def __init__(
        self, kernels: Any, conv: nn.Conv2d, side: int, count: int = 1, positive: bool = True
    ) -> None:
        """Args: `side` of what comes out; `positive` for a ReLU behind it."""
        self._kernels, self._stride, self._positive = kernels, conv.stride[0], positive
        self._weight, self._bias = _packed(conv.weight, conv.bias)
        self._output = _picture(side, len(self._bias), count)

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """With `add`, of the output's shape, added before the ReLU."""
        self._kernels.convolve(
            x, self._weight, self._bias, self._stride, add, self._positive, self._output
        )
        return self._output


class _Double:
    """An enlargement and the picture that it fills."""

    def __init__(self, kernels: Any, side: int, channels: int, count: int = 1) -> None:
        self._kernels, self._output = kernels, _picture(side, channels, count)

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        self._kernels.doubled(x, add, self._output)
        return self._output


class _Residual:
    """`layers.Residual`."""

    def __init__(self, kernels: Any, block: Residual, side: int, count: int = 1) -> None:
        self._first = _Conv(kernels, block.first[0], side, count)
        self._second = _Conv(kernels, block.second, side, count)

    def __call__(self, x: Tensor) -> Tensor:
        return self._second(self._first(x), add=x)


class _Merge:
    """`layers.Merge`."""

    def __init__(self, kernels: Any, merge: Merge, side: int) -> None:
        self._reduce = _Conv(kernels, merge.reduce, side // 2, positive=False)
        self._double = _Double(kernels, side, merge.reduce.out_channels)
        self._conv = _Conv(kernels, merge.conv[0], side)

    def __call__(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return self._conv(self._double(self._reduce(coarse), add=fine))


class _Encoder:
    """`ImageEncoder`."""

    def __init__(self, kernels: Any, encoder: ImageEncoder) -> None:
        half, quarter, deep = OUTPUT // 2, OUTPUT // 4, OUTPUT // 8
        self._input = _picture(OUTPUT, 12)
        self._full = _Conv(kernels, encoder.full[0], OUTPUT)
        self._down = [
            (_Conv(kernels, step[0][0], side), _Residual(kernels, step[1], side))
            for step, side in (
                (encoder.to_half, half),
                (encoder.to_quarter, quarter),
                (encoder.to_deep, deep),
            )
        ]
        self._context = encoder.context
        self._up_quarter = _Merge(kernels, encoder.up_quarter, quarter)
        self._up_half = _Merge(kernels, encoder.up_half, half)
        self._up_stem = _Merge(kernels, encoder.up_stem, OUTPUT)

    def __call__(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _inner(self._input).copy_(functional.pixel_unshuffle(picture, 2).permute(0, 2, 3, 1))
        stem = self._full(self._input)
        levels = [stem]
        for enter, residual in self._down:
            levels.append(residual(enter(levels[-1])))
        _, half, quarter, deep = levels
        whole = functional.relu(self._context(_inner(deep).mean(dim=(1, 2))))
        _inner(deep).add_(whole)
        quarter = self._up_quarter(deep, quarter)
        return self._up_stem(self._up_half(quarter, half), stem), quarter, whole


class _Unprojection:
    """`Unprojection`."""

    def __init__(self, kernels: Any, module: Unprojection) -> None:
        self._kernels = kernels
        self._points, self._normals = _buffer(module.points), _buffer(module.normals)
        outputs, self._cells = module.place.shape[1:3]
        self._mix = _Conv(kernels, module.mix[0], self._cells, 3)
        self._taken = _picture(self._cells, module.mix[0].in_channels, 3)
        self._place = module.place.permute(0, 2, 3, 1).contiguous()

    def __call__(self, features: Tensor, pose: HeadPose) -> Tensor:
        """Gives `(3, 32, 32, C)`."""
        places = pose.seen_at(self._points).view(3, 2, -1, 2)
        facing = (self._normals @ pose.rotation[0, 2]).view(3, 2, self._cells, self._cells)
        taken, channels = _inner(self._taken), features.shape[3]
        for side, first in ((0, 0), (1, channels + 1)):
            self._kernels.gather(features, places[:, side].contiguous(), first, self._taken)
            taken[..., first + channels] = facing[:, side]
        return _inner(self._mix(self._taken)) + self._place


class _Planes:
    """`AlbedoPlanes` and `ShadingPlanes`."""

    def __init__(self, kernels: Any, network: TriplaneNetwork) -> None:
        albedo, shading = network.albedo_planes, network.shading_planes
        side, channels = network.unprojection.place.shape[-1], shading.first[0].in_channels
        self._light = shading.light
        self._input = _picture(side, channels, 3)
        self._enter = _Conv(kernels, albedo.trunk[0][0], side, 3)
        self._residual = _Residual(kernels, albedo.trunk[1], side, 3)
        self._first = _Conv(kernels, shading.first[0], side, 3)
        self._second = _Conv(kernels, shading.second[0], side, 3)
        self._double = _Double(kernels, 2 * side, channels, 3)
        self._albedo = _Conv(kernels, _with_density(network), 2 * side, 3, positive=False)
        self._shading = _Conv(kernels, shading.out, 2 * side, 3, positive=False)

    def __call__(self, planes: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
        _inner(self._input).copy_(planes)
        trunk = self._residual(self._enter(self._input))
        albedo = self._albedo(self._double(trunk))
        scale, shift = self._light(light)[0].chunk(2)
        lit = self._first(trunk)
        _inner(lit).mul_(1 + scale).add_(shift)
        return albedo, self._shading(self._double(self._second(lit)))


class _Renderer:
    """`VolumeRenderer`; gives what the kernel `render` writes."""

    def __init__(self, kernels: Any, module: VolumeRenderer) -> None:
        self._kernels = kernels
        self._coarse, self._offsets = _buffer(module.coarse), _buffer(module.offsets)
        self._density = module.density.in_features
        self._bias = float(module.density.bias)
        self._output = _picture(round(len(_buffer(module.places)) ** 0.5), 48)

    def __call__(self, albedo: Tensor, shading: Tensor, pose: HeadPose) -> Tensor:
        camera = torch.cat([pose.rotation.flatten(), pose.scale, pose.shift.flatten()])
        self._kernels.render(
            albedo, shading, camera, self._coarse, self._offsets, HALF,
            self._density, self._bias, self._output,
        )  # fmt: skip
        return self._output


class _Head:
    """`PixelHead`."""

    def __init__(self, kernels: Any, head: PixelHead) -> None:
        self._head, self._kernels = head, kernels
        side, maps = OUTPUT // 2, head.fine.out_channels
        self._coarse, self._normal = _picture(side, maps), _picture(side, _LANES)
        self._double_coarse = _Double(kernels, OUTPUT, maps)
        self._double_normal = _Double(kernels, OUTPUT, _LANES)
        self._fine = _Conv(kernels, head.fine, OUTPUT)
        self._mix = [_Conv(kernels, layer[0], OUTPUT) for layer in list(head.mix)[1:]]
        self._own = _Conv(kernels, head.own, OUTPUT, positive=False)

    def __call__(self, volume: Tensor, fine: Tensor, pose: HeadPose) -> Maps:
        self._project(volume, pose.rotation[0])
        x = self._fine(fine, add=self._double_coarse(self._coarse))
        for conv in self._mix:
            x = conv(x)
        x = self._own(x, add=self._double_normal(self._normal))
        out = _inner(x).permute(0, 3, 1, 2).contiguous()
        normal = functional.normalize(out[:, 0:3], dim=1, eps=1e-4)
        occlusion = 0.4 - 2.4 * torch.sigmoid(out[:, 9:10] - 1.6)
        return Maps(normal, torch.sigmoid(out[:, 3:6]), out[:, 6:9], occlusion, out[:, 10:11])

    def _project(self, volume: Tensor, rotation: Tensor) -> None:
        """The head's first layers as two 1x1 convolutions of what was rendered, in which the
        turned normals are linear as well."""
        head, features = self._head, self._head.albedo.in_channels
        turn = rotation @ head.volume_normal.weight[:, :, 0, 0]
        turned_bias = rotation @ head.volume_normal.bias
        normal = turn.new_zeros(3, volume.shape[3])
        normal[:, :features] = turn
        geometry = head.geometry.weight[:, :, 0, 0]
        coarse = geometry[:, :3] @ normal
        coarse[:, :features] += head.albedo.weight[:, :, 0, 0]
        coarse[:, _LANES : _LANES + features] += head.shading.weight[:, :, 0, 0]
        coarse[:, _DEPTH], coarse[:, _OPACITY] = geometry[:, 3], geometry[:, 4]
        bias = head.albedo.bias + head.shading.bias + head.geometry.bias
        bias = bias + geometry[:, :3] @ turned_bias
        for weight, offset, out in (
            (coarse, bias, self._coarse), (normal, turned_bias, self._normal),
        ):  # fmt: skip
            packed = _packed(weight[:, :, None, None], offset)
            self._kernels.convolve(volume, *packed, 1, None, False, out)


class _Native:
    """`TriplaneNetwork.forward` with the kernels."""

    def __init__(self, network: TriplaneNetwork, kernels: Any) -> None:
        self._encoder = _Encoder(kernels, network.encoder)
        self._unprojection = _Unprojection(kernels, network.unprojection)
        self._temporal = network.temporal
        self._planes = _Planes(kernels, network)
        self._renderer = _Renderer(kernels, network.renderer)
        self._head = _Head(kernels, network.head)
        self._light = network.light
        self._features = network.renderer.density.in_features

    def forward(
        self, picture: Tensor, pose: HeadPose, light: Tensor, state: TemporalState | None
    ) -> tuple[Maps, Volume, Tensor, TemporalState, Tensor]:
        fine, features, whole = self._encoder(picture)
        planes = self._temporal(self._unprojection(features, pose).permute(0, 3, 1, 2), state)
        albedo, shading = self._planes(planes.permute(0, 2, 3, 1), light)
        rendered = self._renderer(albedo, shading, pose)
        maps = self._head(rendered, fine, pose)
        n = self._features
        seen = _inner(rendered).permute(0, 3, 1, 2).contiguous()
        volume = Volume(
            seen[:, :n], seen[:, _LANES : _LANES + n], seen[:, _DEPTH : _DEPTH + 1],
            seen[:, _COARSE_DEPTH : _COARSE_DEPTH + 1], seen[:, _OPACITY : _OPACITY + 1],
        )  # fmt: skip
        kept = _inner(albedo)[..., :n].permute(0, 3, 1, 2).contiguous()
        return maps, volume, self._light(whole), TemporalState(planes), kept


def _picture(side: int, channels: int, count: int = 1) -> Tensor:
    """An empty picture as the kernels want it, with its border of zeros."""
    return torch.zeros(count, side + 2, side + 2, channels)


def _inner(picture: Tensor) -> Tensor:
    return picture[:, 1:-1, 1:-1]


def _buffer(tensor: Tensor | nn.Module) -> Tensor:
    assert isinstance(tensor, Tensor)
    return tensor


def _packed(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights `(outputs, inputs, k, k)` as `(outputs / 16, k, k, inputs, 16)` with zeros for the
    outputs that are missing, and the bias of `(outputs)` likewise."""
    assert bias is not None
    missing = -len(weight) % _LANES
    weight = functional.pad(weight.detach(), (0, 0, 0, 0, 0, 0, 0, missing))
    lanes = weight.view(-1, _LANES, *weight.shape[1:]).permute(0, 3, 4, 2, 1)
    return lanes.contiguous(), functional.pad(bias.detach(), (0, missing))


def _with_density(network: TriplaneNetwork) -> nn.Conv2d:
    """The albedo planes' last convolution with the density as one more feature: it is linear in the
    others, so that it may as well be looked up itself."""
    features, density = network.albedo_planes.out, network.renderer.density
    both = nn.Conv2d(features.in_channels, features.out_channels + 1, 3, padding=1)
    assert features.bias is not None and both.bias is not None
    more = torch.einsum("of,fikl->oikl", density.weight, features.weight)
    both.weight.data = torch.cat([features.weight, more]).detach()
    both.bias.data = torch.cat([features.bias, density.weight @ features.bias]).detach()
    return both
