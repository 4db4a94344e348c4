"""`network.model` on the kernels of `pipeline/native`: the same parts by the same names."""

import torch
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.engines.triplane.network.model import (
    OUTPUT,
    ImageEncoder,
    Maps,
    PixelHead,
    TemporalGate,
    TemporalState,
    TriplaneNetwork,
    Unprojection,
    Volume,
    VolumeRenderer,
)
from vcam_relight.pipeline.engines.triplane.runtime.native_layers import (
    LANES,
    NativeConv,
    NativeMerge,
    NativeResidual,
    NativeUpsample,
    bias_of,
    inner,
    new_image,
    packed,
)
from vcam_relight.pipeline.engines.triplane.runtime.rearranged import by_square, with_density
from vcam_relight.pipeline.head.space import HALF, HeadPose
from vcam_relight.pipeline.native.network import NetworkKernels

_DEPTH, _COARSE_DEPTH, _OPACITY = 32, 33, 34
"""Channels of what the kernel `render` writes, after 16 of albedo and 16 of shading features."""


class _Encoder:
    """`ImageEncoder`."""

    def __init__(self, kernels: NetworkKernels, encoder: ImageEncoder) -> None:
        half, quarter, deep = OUTPUT // 2, OUTPUT // 4, OUTPUT // 8
        self._input = new_image(OUTPUT, 12)
        self._full = NativeConv(kernels, by_square(encoder.full.convolution), OUTPUT)
        self._down = [
            (
                NativeConv(kernels, stage.entry.convolution, side),
                NativeResidual(kernels, stage.residual, side),
            )
            for stage, side in (
                (encoder.to_half, half),
                (encoder.to_quarter, quarter),
                (encoder.to_deep, deep),
            )
        ]
        self._context = encoder.context
        self._up_quarter = NativeMerge(kernels, encoder.up_quarter, quarter)
        self._up_half = NativeMerge(kernels, encoder.up_half, half)
        self._up_stem = NativeMerge(kernels, encoder.up_stem, OUTPUT)

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor]:
        for first, pixels in enumerate(_squares(image)):
            inner(self._input)[..., 3 * first : 3 * first + 3] = pixels.permute(0, 2, 3, 1)
        stem = self._full(self._input)
        levels = [stem]
        for enter, residual in self._down:
            levels.append(residual(enter(levels[-1])))
        _, half, quarter, deep = levels
        whole = functional.relu(self._context(inner(deep).mean(dim=(1, 2))))
        inner(deep).add_(whole)
        quarter = self._up_quarter(deep, quarter)
        return self._up_stem(self._up_half(quarter, half), stem), quarter


class _NativeUnprojection:
    """`Unprojection`."""

    def __init__(self, kernels: NetworkKernels, module: Unprojection) -> None:
        self._kernels = kernels
        self._points, self._normals = module.points, module.normals
        self._cells = module.place.shape[-1]
        self._mix = NativeConv(kernels, module.mix.convolution, self._cells, 3)
        self._taken = new_image(self._cells, module.mix.convolution.in_channels, 3)
        self._place = module.place.permute(0, 2, 3, 1).contiguous()

    def __call__(self, features: Tensor, pose: HeadPose) -> Tensor:
        """Gives `(3, 32, 32, C)`."""
        places = pose.seen_at(self._points).view(3, 2, -1, 2)
        facing = (self._normals @ pose.rotation[0, 2]).view(3, 2, self._cells, self._cells)
        taken, channels = inner(self._taken), features.shape[3]
        for side, first in ((0, 0), (1, channels + 1)):
            self._kernels.gather(features, places[:, side].contiguous(), first, self._taken)
            taken[..., first + channels] = facing[:, side]
        planes: Tensor = inner(self._mix(self._taken)) + self._place
        return planes


class _Temporal:
    """`TemporalGate`, of `(3, 32, 32, C)`."""

    def __init__(self, kernels: NetworkKernels, module: TemporalGate, side: int) -> None:
        self._joined = new_image(side, module.hidden.convolution.in_channels, 3)
        self._hidden = NativeConv(kernels, module.hidden.convolution, side, 3)
        self._gate = NativeConv(kernels, module.logits, side, 3, positive=False)

    def __call__(self, new: Tensor, state: TemporalState | None) -> Tensor:
        if state is None:
            return new
        old = state.features.permute(0, 2, 3, 1)
        change = new - old
        for part, values in zip(
            inner(self._joined).chunk(3, dim=3), (new, old, change.abs()), strict=True
        ):
            part.copy_(values)
        gate = torch.sigmoid(inner(self._gate(self._hidden(self._joined))))
        return torch.addcmul(old, gate, change)


class _Planes:
    """`AlbedoPlanes` and `ShadingPlanes`."""

    def __init__(self, kernels: NetworkKernels, network: TriplaneNetwork) -> None:
        albedo, shading = network.albedo_planes, network.shading_planes
        side, channels = network.unprojection.place.shape[-1], shading.first.convolution.in_channels
        self._light = shading.light
        self._input = new_image(side, channels, 3)
        self._enter = NativeConv(kernels, albedo.trunk.entry.convolution, side, 3)
        self._residual = NativeResidual(kernels, albedo.trunk.residual, side, 3)
        self._first = NativeConv(kernels, shading.first.convolution, side, 3)
        self._second = NativeConv(kernels, shading.second.convolution, side, 3)
        self._upsample = NativeUpsample(kernels, 2 * side, channels, 3)
        self._albedo = NativeConv(kernels, with_density(network), 2 * side, 3, positive=False)
        self._shading = NativeConv(kernels, shading.out, 2 * side, 3, positive=False)

    def __call__(self, planes: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
        inner(self._input).copy_(planes)
        trunk = self._residual(self._enter(self._input))
        albedo = self._albedo(self._upsample(trunk))
        scale, shift = self._light(light)[0].chunk(2)
        lit = self._first(trunk)
        inner(lit).mul_(1 + scale).add_(shift)
        return albedo, self._shading(self._upsample(self._second(lit)))


class _NativeRenderer:
    """`VolumeRenderer`; gives what the kernel `render` writes."""

    def __init__(self, kernels: NetworkKernels, module: VolumeRenderer) -> None:
        self._kernels = kernels
        self._coarse, self._offsets = module.coarse, module.offsets
        self._density = module.density.in_features
        self._bias = float(module.density.bias)
        self._output = new_image(round(len(module.places) ** 0.5), 48)

    def __call__(self, albedo: Tensor, shading: Tensor, pose: HeadPose) -> Tensor:
        camera = torch.cat([pose.rotation.flatten(), pose.scale, pose.shift.flatten()])
        self._kernels.render(
            albedo, shading, camera, self._coarse, self._offsets, HALF,
            self._density, self._bias, self._output,
        )  # fmt: skip
        return self._output


class _NativePixelHead:
    """`PixelHead`."""

    def __init__(self, kernels: NetworkKernels, head: PixelHead) -> None:
        self._head, self._kernels = head, kernels
        side, maps = OUTPUT // 2, head.fine.out_channels
        self._fine = NativeConv(kernels, head.fine, OUTPUT)
        self._mix = [NativeConv(kernels, layer.convolution, OUTPUT) for layer in head.mixing]
        self._own = NativeConv(kernels, head.own, OUTPUT, positive=False)
        self._coarse = new_image(side, maps)
        self._normal = new_image(side, self._own.channels)
        self._upsample_coarse = NativeUpsample(kernels, OUTPUT, maps)
        self._upsample_normal = NativeUpsample(kernels, OUTPUT, self._own.channels)

    def __call__(self, volume: Tensor, fine: Tensor, pose: HeadPose, light: Tensor) -> Maps:
        self._project(volume, pose.rotation[0])
        x = self._fine(fine, add=self._upsample_coarse(self._coarse))
        for conv in self._mix:
            x = conv(x)
        x = self._own(x, add=self._upsample_normal(self._normal))
        out = inner(x).permute(0, 3, 1, 2).contiguous()
        maps: Maps = self._head.finished(out[:, :3], out[:, 3:], pose, light)
        return maps

    def _project(self, volume: Tensor, rotation: Tensor) -> None:
        """The head's first layers, as two 1x1 convolutions of what was rendered.

        Turned normals are linear in it as well.
        """
        head, features = self._head, self._head.albedo.in_channels
        turn = rotation @ head.volume_normal.weight[:, :, 0, 0]
        normal = turn.new_zeros(self._own.channels, volume.shape[3])
        normal[:3, :features] = turn
        normal_bias = turn.new_zeros(self._own.channels)
        normal_bias[:3] = rotation @ bias_of(head.volume_normal)
        geometry = head.geometry.weight[:, :, 0, 0]
        coarse = geometry[:, :3] @ normal[:3]
        coarse[:, :features] += head.albedo.weight[:, :, 0, 0]
        coarse[:, LANES : LANES + features] += head.shading.weight[:, :, 0, 0]
        coarse[:, _DEPTH], coarse[:, _OPACITY] = geometry[:, 3], geometry[:, 4]
        bias = bias_of(head.albedo) + bias_of(head.shading) + bias_of(head.geometry)
        bias = bias + geometry[:, :3] @ normal_bias[:3]
        for weight, offset, out in (
            (coarse, bias, self._coarse), (normal, normal_bias, self._normal),
        ):  # fmt: skip
            convolution = packed(weight[:, :, None, None], offset)
            self._kernels.convolve(volume, *convolution, 1, None, False, out)


class NativeNetwork:
    """`TriplaneNetwork.forward` with the kernels."""

    def __init__(self, network: TriplaneNetwork, kernels: NetworkKernels) -> None:
        self._encoder = _Encoder(kernels, network.encoder)
        self._unprojection = _NativeUnprojection(kernels, network.unprojection)
        side = network.unprojection.place.shape[-1]
        self._temporal = _Temporal(kernels, network.temporal, side)
        self._planes = _Planes(kernels, network)
        self._renderer = _NativeRenderer(kernels, network.renderer)
        self._head = _NativePixelHead(kernels, network.head)
        self._features = network.renderer.density.in_features

    def forward(
        self, image: Tensor, pose: HeadPose, light: Tensor, state: TemporalState | None
    ) -> tuple[Maps, Volume, TemporalState, Tensor]:
        """See `TriplaneNetwork.forward`; for a batch of one."""
        fine, features = self._encoder(image)
        planes = self._temporal(self._unprojection(features, pose), state)
        albedo, shading = self._planes(planes, light)
        rendered = self._renderer(albedo, shading, pose)
        maps = self._head(rendered, fine, pose, light)
        n = self._features
        seen = _taken(rendered, rendered.shape[3])
        volume = Volume(
            seen[:, :n], seen[:, LANES : LANES + n], seen[:, _DEPTH : _DEPTH + 1],
            seen[:, _COARSE_DEPTH : _COARSE_DEPTH + 1], seen[:, _OPACITY : _OPACITY + 1],
        )  # fmt: skip
        kept = _taken(albedo, n)
        return maps, volume, TemporalState(planes.permute(0, 3, 1, 2)), kept


def _squares(image: Tensor) -> list[Tensor]:
    """The four pixels of each square of two by two, `(B, 3, H / 2, W / 2)` each."""
    return [image[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)]


def _taken(image: Tensor, channels: int) -> Tensor:
    """`(N, channels, H, W)`, for keeps."""
    part = inner(image)[..., :channels]
    return part.clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
