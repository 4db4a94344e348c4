"""The network in real time: on a CPU by kernels of our own, on CUDA by torch's."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vcam_relight.pipeline.core.tensors import moved
from vcam_relight.pipeline.engines.triplane.network.model import (
    INPUT,
    OUTPUT,
    Maps,
    TemporalState,
    TriplaneNetwork,
    Volume,
)
from vcam_relight.pipeline.head.space import HALF, HeadPose
from vcam_relight.pipeline.native.network import network_kernels

_THREADS = torch.get_num_threads()
"""As torch came: what other threads may ask it for later depends on who changed it last."""
_LANES = 16
"""Channels come in multiples of it."""
_DEPTH, _COARSE_DEPTH, _OPACITY = 32, 33, 34
"""Channels of what the kernel `render` writes, after 16 of albedo and 16 of shading features."""


class Runtime:
    """Runs a network whose weights no longer change, one picture at a time.

    With the kernels of `pipeline/native` the pictures in between are kept channels last,
    in buffers of this object: it is for one thread at a time. Without them the network runs as it
    is. What goes in and comes out is on the CPU, but for the temporal state.
    """

    def __init__(
        self, network: TriplaneNetwork, device: str = "cpu", threads: int | None = None
    ) -> None:
        """Args: `device` of torch; `threads` of the CPU to use, by default half as many as torch
        does: the frames go on beside a look.

        Raises:
            RuntimeError: torch cannot use the device.
        """
        network = network.eval()
        threads = threads or max(1, _THREADS // 2)
        if device != "cpu":
            self._forward, self._torch_threads = _Elsewhere(network, device).forward, threads
            return
        kernels = network_kernels()
        if kernels is None:
            self._forward, self._torch_threads = network.forward, threads
        else:
            kernels.threads(threads)
            # What is left to torch is small: its threads would wait for one another.
            self._forward, self._torch_threads = _Native(network, kernels).forward, 1

    def run(
        self, image: Tensor, pose: HeadPose, light: Tensor, state: TemporalState | None
    ) -> tuple[Maps, Volume, TemporalState, Tensor]:
        """`TriplaneNetwork.forward` for a batch of one; what comes out stays as it is."""
        with torch_threads(self._torch_threads), torch.inference_mode():
            return self._forward(image, pose, light, state)


class _Elsewhere:
    """`TriplaneNetwork.forward` on another device."""

    def __init__(self, network: TriplaneNetwork, device: str) -> None:
        """Raises RuntimeError when the device does not run the network."""
        self._device = torch.device(device)
        try:
            self._network: TriplaneNetwork = copy.deepcopy(network).to(self._device)
        except AssertionError as error:  # a torch that was built without it
            raise RuntimeError(str(error)) from error
        front = HeadPose(torch.eye(3)[None], torch.ones(1), torch.zeros(1, 2))
        # A device may be found and yet fail, and what it compiles should not delay frames.
        state = None
        with torch.inference_mode():
            for _ in range(2):
                _, _, state, _ = self.forward(
                    torch.zeros(1, 3, INPUT, INPUT), front, torch.zeros(1, 9), state
                )

    def forward(
        self, image: Tensor, pose: HeadPose, light: Tensor, state: TemporalState | None
    ) -> tuple[Maps, Volume, TemporalState, Tensor]:
        there = self._device
        maps, volume, following, planes = self._network(
            image.to(there), moved(pose, there), light.to(there), state
        )
        back = torch.device("cpu")
        return moved(maps, back), moved(volume, back), following, planes.to(back)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Lets torch use so many threads for what this thread asks of it."""
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(_THREADS)


# Modules are `Any` here: torch does not tell what a module's parts are.


class _Conv:
    """A convolution and the picture that it fills."""

    def __init__(
        self, kernels: Any, conv: Any, side: int, count: int = 1, positive: bool = True
    ) -> None:
        """Args: `side` of what comes out; `positive` for a ReLU behind it."""
        self._kernels, self._stride, self._positive = kernels, conv.stride[0], positive
        self._weight, self._bias = _packed(conv.weight, conv.bias)
        self.channels = len(self._bias)
        self._output = _image(side, self.channels, count)

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """With `add`, of the output's shape, added before the ReLU."""
        self._kernels.convolve(
            x, self._weight, self._bias, self._stride, add, self._positive, self._output
        )
        return self._output


class _Double:
    """An enlargement and the picture that it fills."""

    def __init__(self, kernels: Any, side: int, channels: int, count: int = 1) -> None:
        self._kernels, self._output = kernels, _image(side, channels, count)

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        self._kernels.doubled(x, add, self._output)
        return self._output


class _Residual:
    """`layers.Residual`."""

    def __init__(self, kernels: Any, block: Any, side: int, count: int = 1) -> None:
        self._first = _Conv(kernels, block.first[0], side, count)
        self._second = _Conv(kernels, block.second, side, count)

    def __call__(self, x: Tensor) -> Tensor:
        return self._second(self._first(x), add=x)


class _Merge:
    """`layers.Merge`."""

    def __init__(self, kernels: Any, merge: Any, side: int) -> None:
        self._reduce = _Conv(kernels, merge.reduce, side // 2, positive=False)
        self._double = _Double(kernels, side, merge.reduce.out_channels)
        self._conv = _Conv(kernels, merge.conv[0], side)

    def __call__(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return self._conv(self._double(self._reduce(coarse), add=fine))


class _Encoder:
    """`ImageEncoder`."""

    def __init__(self, kernels: Any, encoder: Any) -> None:
        half, quarter, deep = OUTPUT // 2, OUTPUT // 4, OUTPUT // 8
        self._input = _image(OUTPUT, 12)
        full = copy.deepcopy(encoder.full[0])  # of `pixel_unshuffle`, whose pixels are far apart
        full.weight.data = full.weight.data.unflatten(1, (3, 4)).transpose(1, 2).flatten(1, 2)
        self._full = _Conv(kernels, full, OUTPUT)
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

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor]:
        for first, pixels in enumerate(_squares(image)):
            _inner(self._input)[..., 3 * first : 3 * first + 3] = pixels.permute(0, 2, 3, 1)
        stem = self._full(self._input)
        levels = [stem]
        for enter, residual in self._down:
            levels.append(residual(enter(levels[-1])))
        _, half, quarter, deep = levels
        whole = functional.relu(self._context(_inner(deep).mean(dim=(1, 2))))
        _inner(deep).add_(whole)
        quarter = self._up_quarter(deep, quarter)
        return self._up_stem(self._up_half(quarter, half), stem), quarter


class _Unprojection:
    """`Unprojection`."""

    def __init__(self, kernels: Any, module: Any) -> None:
        self._kernels = kernels
        self._points, self._normals = module.points, module.normals
        self._cells = module.place.shape[-1]
        self._mix = _Conv(kernels, module.mix[0], self._cells, 3)
        self._taken = _image(self._cells, module.mix[0].in_channels, 3)
        self._place = module.place.permute(0, 2, 3, 1).contiguous()

    def __call__(self, features: Tensor, pose: HeadPose) -> Tensor:
        """Gives `(3, 32, 32, C)`."""
        places = pose.seen_at(self._points).view(3, 2, -1, 2)
        facing = (self._normals @ pose.rotation[0, 2]).view(3, 2, self._cells, self._cells)
        taken, channels = _inner(self._taken), features.shape[3]
        for side, first in ((0, 0), (1, channels + 1)):
            self._kernels.gather(features, places[:, side].contiguous(), first, self._taken)
            taken[..., first + channels] = facing[:, side]
        planes: Tensor = _inner(self._mix(self._taken)) + self._place
        return planes


class _Temporal:
    """`TemporalGate`, of `(3, 32, 32, C)`."""

    def __init__(self, kernels: Any, module: Any, side: int) -> None:
        self._joined = _image(side, module.gate[0][0].in_channels, 3)
        self._hidden = _Conv(kernels, module.gate[0][0], side, 3)
        self._gate = _Conv(kernels, module.gate[1], side, 3, positive=False)

    def __call__(self, new: Tensor, state: TemporalState | None) -> Tensor:
        if state is None:
            return new
        old = state.features.permute(0, 2, 3, 1)
        change = new - old
        for part, values in zip(
            _inner(self._joined).chunk(3, dim=3), (new, old, change.abs()), strict=True
        ):
            part.copy_(values)
        gate = torch.sigmoid(_inner(self._gate(self._hidden(self._joined))))
        return torch.addcmul(old, gate, change)


class _Planes:
    """`AlbedoPlanes` and `ShadingPlanes`."""

    def __init__(self, kernels: Any, network: Any) -> None:
        albedo, shading = network.albedo_planes, network.shading_planes
        side, channels = network.unprojection.place.shape[-1], shading.first[0].in_channels
        self._light = shading.light
        self._input = _image(side, channels, 3)
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

    def __init__(self, kernels: Any, module: Any) -> None:
        self._kernels = kernels
        self._coarse, self._offsets = module.coarse, module.offsets
        self._density = module.density.in_features
        self._bias = float(module.density.bias)
        self._output = _image(round(len(module.places) ** 0.5), 48)

    def __call__(self, albedo: Tensor, shading: Tensor, pose: HeadPose) -> Tensor:
        camera = torch.cat([pose.rotation.flatten(), pose.scale, pose.shift.flatten()])
        self._kernels.render(
            albedo, shading, camera, self._coarse, self._offsets, HALF,
            self._density, self._bias, self._output,
        )  # fmt: skip
        return self._output


class _Head:
    """`PixelHead`."""

    def __init__(self, kernels: Any, head: Any) -> None:
        self._head, self._kernels = head, kernels
        side, maps = OUTPUT // 2, head.fine.out_channels
        self._fine = _Conv(kernels, head.fine, OUTPUT)
        self._mix = [_Conv(kernels, layer[0], OUTPUT) for layer in list(head.mix)[1:]]
        self._own = _Conv(kernels, head.own, OUTPUT, positive=False)
        self._coarse = _image(side, maps)
        self._normal = _image(side, self._own.channels)
        self._double_coarse = _Double(kernels, OUTPUT, maps)
        self._double_normal = _Double(kernels, OUTPUT, self._own.channels)

    def __call__(self, volume: Tensor, fine: Tensor, pose: HeadPose, light: Tensor) -> Maps:
        self._project(volume, pose.rotation[0])
        x = self._fine(fine, add=self._double_coarse(self._coarse))
        for conv in self._mix:
            x = conv(x)
        x = self._own(x, add=self._double_normal(self._normal))
        out = _inner(x).permute(0, 3, 1, 2).contiguous()
        maps: Maps = self._head.finished(out[:, :3], out[:, 3:], pose, light)
        return maps

    def _project(self, volume: Tensor, rotation: Tensor) -> None:
        """The head's first layers as two 1x1 convolutions of what was rendered, in which the
        turned normals are linear as well.
        """
        head, features = self._head, self._head.albedo.in_channels
        turn = rotation @ head.volume_normal.weight[:, :, 0, 0]
        normal = turn.new_zeros(self._own.channels, volume.shape[3])
        normal[:3, :features] = turn
        normal_bias = turn.new_zeros(self._own.channels)
        normal_bias[:3] = rotation @ head.volume_normal.bias
        geometry = head.geometry.weight[:, :, 0, 0]
        coarse = geometry[:, :3] @ normal[:3]
        coarse[:, :features] += head.albedo.weight[:, :, 0, 0]
        coarse[:, _LANES : _LANES + features] += head.shading.weight[:, :, 0, 0]
        coarse[:, _DEPTH], coarse[:, _OPACITY] = geometry[:, 3], geometry[:, 4]
        bias = head.albedo.bias + head.shading.bias + head.geometry.bias
        bias = bias + geometry[:, :3] @ normal_bias[:3]
        for weight, offset, out in (
            (coarse, bias, self._coarse), (normal, normal_bias, self._normal),
        ):  # fmt: skip
            packed = _packed(weight[:, :, None, None], offset)
            self._kernels.convolve(volume, *packed, 1, None, False, out)


class _Native:
    """`TriplaneNetwork.forward` with the kernels."""

    def __init__(self, network: TriplaneNetwork, kernels: Any) -> None:
        self._encoder = _Encoder(kernels, network.encoder)
        self._unprojection = _Unprojection(kernels, network.unprojection)
        side = network.unprojection.place.shape[-1]
        self._temporal = _Temporal(kernels, network.temporal, side)
        self._planes = _Planes(kernels, network)
        self._renderer = _Renderer(kernels, network.renderer)
        self._head = _Head(kernels, network.head)
        self._features = network.renderer.density.in_features

    def forward(
        self, image: Tensor, pose: HeadPose, light: Tensor, state: TemporalState | None
    ) -> tuple[Maps, Volume, TemporalState, Tensor]:
        fine, features = self._encoder(image)
        planes = self._temporal(self._unprojection(features, pose), state)
        albedo, shading = self._planes(planes, light)
        rendered = self._renderer(albedo, shading, pose)
        maps = self._head(rendered, fine, pose, light)
        n = self._features
        seen = _taken(rendered, rendered.shape[3])
        volume = Volume(
            seen[:, :n], seen[:, _LANES : _LANES + n], seen[:, _DEPTH : _DEPTH + 1],
            seen[:, _COARSE_DEPTH : _COARSE_DEPTH + 1], seen[:, _OPACITY : _OPACITY + 1],
        )  # fmt: skip
        kept = _taken(albedo, n)
        return maps, volume, TemporalState(planes.permute(0, 3, 1, 2)), kept


def _squares(image: Tensor) -> list[Tensor]:
    """The four pixels of each square of two by two, `(B, 3, H / 2, W / 2)` each."""
    return [image[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)]


def _image(side: int, channels: int, count: int = 1) -> Tensor:
    """An empty picture as the kernels want it, with its border of zeros."""
    return torch.zeros(count, side + 2, side + 2, channels)


def _inner(image: Tensor) -> Tensor:
    return image[:, 1:-1, 1:-1]


def _taken(image: Tensor, channels: int) -> Tensor:
    """`(N, channels, H, W)`, for keeps."""
    inner = _inner(image)[..., :channels]
    return inner.clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)


def _packed(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weights `(outputs, inputs, k, k)` as `(outputs / 16, k, k, inputs, 16)` with zeros for the
    outputs that are missing, and the bias of `(outputs)` likewise.
    """
    missing = -len(weight) % _LANES
    weight = functional.pad(weight.detach(), (0, 0, 0, 0, 0, 0, 0, missing))
    lanes = weight.view(-1, _LANES, *weight.shape[1:]).permute(0, 3, 4, 2, 1)
    return lanes.contiguous(), functional.pad(bias.detach(), (0, missing))


def _with_density(network: Any) -> Any:
    """The albedo planes' last convolution with the density as one more feature: it is linear in the
    others, so that it may as well be looked up itself.
    """
    features, density = network.albedo_planes.out, network.renderer.density
    both: Any = nn.Conv2d(features.in_channels, features.out_channels + 1, 3, padding=1)
    more = torch.einsum("of,fikl->oikl", density.weight, features.weight)
    both.weight.data = torch.cat([features.weight, more]).detach()
    both.bias.data = torch.cat([features.bias, density.weight @ features.bias]).detach()
    return both
