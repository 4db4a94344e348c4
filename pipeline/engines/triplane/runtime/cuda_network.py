"""`network.model` on the kernels of `pipeline/cuda`: the same parts by the same names."""

import weakref

import numpy as np
import torch
from torch import Tensor, nn

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.cuda.device import AnyArray, Buffer, Card, Graph, Stream
from vcam_relight.pipeline.engines.triplane.network.model import (
    COARSE,
    FAR,
    FINE,
    INPUT,
    NEAR,
    OUTPUT,
    SPREAD,
    ImageEncoder,
    Maps,
    PixelHead,
    TriplaneNetwork,
    Unprojection,
    Volume,
    VolumeRenderer,
)
from vcam_relight.pipeline.engines.triplane.runtime.cuda_layers import (
    CudaConv,
    CudaMerge,
    CudaResidual,
    CudaUpsample,
    blocks_of,
    new_image,
    uploaded,
)
from vcam_relight.pipeline.engines.triplane.runtime.native_layers import LANES, bias_of
from vcam_relight.pipeline.engines.triplane.runtime.rearranged import by_square, with_density
from vcam_relight.pipeline.head.space import HALF, HeadPose
from vcam_relight.pipeline.lighting.sh import BASIS_FACTORS, LAMBERT
from vcam_relight.pipeline.lighting.sh_torch import shading_floor

_UNIFORMS = 32
"""Floats of `Uniforms` in triplane.cu."""
_RENDERED = 36
_DEPTH, _COARSE_DEPTH, _OPACITY = 32, 33, 34
"""Numbers of what the kernel `render` writes, after 16 of albedo and 16 of shading features."""
_MAPS = (("normal", 3), ("albedo", 3), ("present", 3), ("occlusion", 1), ("mask", 1))


class DeviceState:
    """What the network remembers of one person, in a card's memory; never written to again."""

    def __init__(self, features: Buffer) -> None:
        self.features = features
        """`(3, 32, 32, C)` of the three planes, floats."""


class CudaNetwork:
    """`TriplaneNetwork.forward` on a card, as one graph of kernels; for one thread at a time.

    All that differs from one inference to the next is an image, a state and a few numbers, at
    places in memory that stay: nothing is recorded anew.
    """

    def __init__(self, network: TriplaneNetwork, card: Card) -> None:
        """Copies the weights to the card, and tries it.

        Raises:
            CudaError: the card or the compiler refuses.
        """
        self._stream = stream = Stream(card)
        planes, head = network.unprojection.place, network.head
        self._side, self._channels = planes.shape[-1], planes.shape[1]
        self._light = network.shading_planes.light
        self._features = network.renderer.density.in_features
        self._image = card.empty((INPUT, INPUT, 3), np.uint8)
        self._uniforms = card.empty((_UNIFORMS,), np.float32)
        self._state = card.empty((3, self._side, self._side, self._channels), np.float32)
        self._film = card.empty((2 * self._channels,), np.float32)
        self._free: list[Buffer] = []
        """States that nobody holds any more."""
        parts = (
            _Encoder(stream, network.encoder),
            _Unprojection(stream, network.unprojection, self._uniforms),
            _Temporal(stream, network, self._uniforms, self._state),
            _Planes(stream, network, self._film),
            _Renderer(stream, network.renderer, self._uniforms),
            _PixelHead(stream, head, self._uniforms),
        )
        self._here = (
            card.pinned(self._image.shape, np.uint8),
            card.pinned(self._uniforms.shape, np.float32),
            card.pinned(self._film.shape, np.float32),
        )
        front = HeadPose(torch.eye(3)[None], torch.ones(1), torch.zeros(1, 2))
        self._describe(np.zeros(self._image.shape, np.uint8), front, torch.zeros(1, 9), fresh=True)
        self._program = _Program(stream, parts, (self._image, self._uniforms, self._film))
        self._graph = self._program.record(self._here)

    def forward(
        self, image: BgrImage, pose: HeadPose, light: Tensor, state: DeviceState | None
    ) -> tuple[Maps, Volume, DeviceState, Tensor]:
        """See `TriplaneNetwork.forward`; for a batch of one, image `(256, 256, 3)`."""
        self._describe(image, pose, light, fresh=state is None)
        if state is not None:
            self._stream.copy(self._state, state.features)
        self._graph.launch()
        following = self._kept_state()
        self._stream.copy(following.features, self._state)
        self._stream.synchronize()
        return (
            *self._program.results(self._features),
            following,
            self._program.planes(self._features),
        )

    def _describe(self, image: BgrImage, pose: HeadPose, light: Tensor, *, fresh: bool) -> None:
        pixels, uniforms, film = self._here
        pixels[:] = image
        uniforms[:] = _uniforms(pose, light, fresh=fresh)
        film[:] = self._light(light)[0].numpy()

    def _kept_state(self) -> DeviceState:
        buffer = self._free.pop() if self._free else None
        if buffer is None:
            buffer = self._stream.card.empty(self._state.shape, np.float32)
        state = DeviceState(buffer)
        weakref.finalize(state, self._free.append, buffer)
        return state


class _Encoder:
    """`ImageEncoder`."""

    def __init__(self, stream: Stream, encoder: ImageEncoder) -> None:
        half, quarter, deep = OUTPUT // 2, OUTPUT // 4, OUTPUT // 8
        self._stream = stream
        self._input = new_image(stream, OUTPUT, LANES)
        self._full = CudaConv(stream, by_square(encoder.full.convolution), OUTPUT)
        self._down = [
            (
                CudaConv(stream, stage.entry.convolution, side),
                CudaResidual(stream, stage.residual, side),
            )
            for stage, side in (
                (encoder.to_half, half),
                (encoder.to_quarter, quarter),
                (encoder.to_deep, deep),
            )
        ]
        self._context = (
            uploaded(stream, encoder.context.weight), uploaded(stream, bias_of(encoder.context)),
        )  # fmt: skip
        self._deep = (deep, encoder.context.in_features)
        self._up_quarter = CudaMerge(stream, encoder.up_quarter, quarter)
        self._up_half = CudaMerge(stream, encoder.up_half, half)
        self._up_stem = CudaMerge(stream, encoder.up_stem, OUTPUT)

    def __call__(self, image: Buffer) -> tuple[Buffer, Buffer]:
        self._stream.launch(
            "squares", blocks_of(OUTPUT * OUTPUT, 256), 256, image, self._input, OUTPUT
        )
        stem = self._full(self._input)
        levels = [stem]
        for enter, residual in self._down:
            levels.append(residual(enter(levels[-1])))
        _, half, quarter, deep = levels
        self._stream.launch("add_context", (1, 1, 1), 512, deep, *self._context, *self._deep)
        quarter = self._up_quarter(deep, quarter)
        return self._up_stem(self._up_half(quarter, half), stem), quarter


class _Unprojection:
    """`Unprojection`, but for what is added to each cell."""

    def __init__(self, stream: Stream, module: Unprojection, uniforms: Buffer) -> None:
        self._stream, self._uniforms, self._side = stream, uniforms, module.place.shape[-1]
        both = torch.cat([module.points, module.normals], dim=1)
        self._anchors = uploaded(stream, both.view(3, 2, -1, 6))
        convolution = module.mix.convolution
        channels = convolution.in_channels // 2 - 1
        weight = convolution.weight.detach()
        # How cells face the camera comes last here, after what both of their ends see.
        order = [
            *range(channels),
            *range(channels + 1, 2 * channels + 1),
            channels,
            2 * channels + 1,
        ]
        mix = nn.Conv2d(convolution.in_channels, convolution.out_channels, 1)
        mix.weight.data, mix.bias = weight[:, order], nn.Parameter(bias_of(convolution))
        self._mix = CudaConv(stream, mix, self._side, 3)
        self._taken = new_image(stream, self._side, -(-2 * (channels + 1) // LANES) * LANES, 3)

    def __call__(self, features: Buffer) -> Buffer:
        self._stream.launch(
            "unproject", blocks_of(6 * self._side**2, 4), 128,
            features, self._anchors, self._uniforms, self._taken, self._side,
        )  # fmt: skip
        return self._mix(self._taken)


class _Temporal:
    """`TemporalGate`, on what `_Unprojection` gives."""

    def __init__(
        self, stream: Stream, network: TriplaneNetwork, uniforms: Buffer, state: Buffer
    ) -> None:
        module, place = network.temporal, network.unprojection.place
        self._stream, self._uniforms, self._state = stream, uniforms, state
        self._size = (place.shape[-1], place.shape[1])
        self._place = uploaded(stream, place.permute(0, 2, 3, 1))
        self._joined = new_image(stream, self._size[0], 3 * self._size[1], 3)
        self._hidden = CudaConv(stream, module.hidden.convolution, self._size[0], 3)
        self._gate = CudaConv(stream, module.logits, self._size[0], 3, positive=False)
        self._planes = new_image(stream, *self._size, 3)

    def __call__(self, mixed: Buffer) -> Buffer:
        blocks = blocks_of(3 * self._size[0] ** 2 * self._size[1] // 2, 256)
        self._stream.launch(
            "join", blocks, 256,
            mixed, self._place, self._state, self._uniforms, self._joined, *self._size,
        )  # fmt: skip
        gate = self._gate(self._hidden(self._joined))
        self._stream.launch(
            "remember", blocks, 256,
            mixed, self._place, gate, self._uniforms, self._state, self._planes, *self._size,
        )  # fmt: skip
        return self._planes


class _Planes:
    """`AlbedoPlanes` and `ShadingPlanes`."""

    def __init__(self, stream: Stream, network: TriplaneNetwork, film: Buffer) -> None:
        albedo, shading = network.albedo_planes, network.shading_planes
        side, channels = network.unprojection.place.shape[-1], shading.first.convolution.in_channels
        self._enter = CudaConv(stream, albedo.trunk.entry.convolution, side, 3)
        self._residual = CudaResidual(stream, albedo.trunk.residual, side, 3)
        self._first = CudaConv(stream, shading.first.convolution, side, 3, film=film)
        self._second = CudaConv(stream, shading.second.convolution, side, 3)
        self._upsample = CudaUpsample(stream, 2 * side, channels, 3)
        self._albedo = CudaConv(stream, with_density(network), 2 * side, 3, positive=False)
        self._shading = CudaConv(stream, shading.out, 2 * side, 3, positive=False)

    def __call__(self, planes: Buffer) -> tuple[Buffer, Buffer]:
        trunk = self._residual(self._enter(planes))
        albedo = self._albedo(self._upsample(trunk))
        return albedo, self._shading(self._upsample(self._second(self._first(trunk))))


class _Renderer:
    """`VolumeRenderer`; gives what the kernel `render` writes."""

    def __init__(self, stream: Stream, module: VolumeRenderer, uniforms: Buffer) -> None:
        if (COARSE, FINE) != (8, 4):
            raise ValueError("the kernel takes 8 coarse and 4 fine samples of a ray")
        self._stream, self._uniforms = stream, uniforms
        self._bias = float(module.density.bias)
        self._rays = round(len(module.places) ** 0.5)
        self._output = stream.card.empty((self._rays**2, _RENDERED), np.float32)

    def __call__(self, albedo: Buffer, shading: Buffer) -> Buffer:
        self._stream.launch(
            "render", blocks_of(8 * self._rays**2, 128), 128,
            albedo, shading, self._uniforms, self._output, albedo.shape[1] - 2, self._rays,
            NEAR, FAR, SPREAD, HALF, self._bias,
        )  # fmt: skip
        return self._output


class _PixelHead:
    """`PixelHead`; gives `(11, 128, 128)`."""

    def __init__(self, stream: Stream, head: PixelHead, uniforms: Buffer) -> None:
        side, maps = OUTPUT // 2, head.fine.out_channels
        self._stream, self._uniforms, self._side = stream, uniforms, side
        bias = bias_of(head.albedo) + bias_of(head.shading) + bias_of(head.geometry)
        parts = (
            head.albedo.weight, head.shading.weight, head.geometry.weight, bias,
            head.volume_normal.weight, bias_of(head.volume_normal),
        )  # fmt: skip
        self._weight = uploaded(stream, torch.cat([part.detach().flatten() for part in parts]))
        self._fine = CudaConv(stream, head.fine, OUTPUT)
        self._mix = [CudaConv(stream, layer.convolution, OUTPUT) for layer in head.mixing]
        self._own = CudaConv(stream, head.own, OUTPUT, positive=False)
        self._coarse = new_image(stream, side, maps)
        self._normals = stream.card.empty((side, side, 4), np.float32)
        self._upsample = CudaUpsample(stream, OUTPUT, maps)
        self._maps = stream.card.empty((11, OUTPUT, OUTPUT), np.float32)

    def __call__(self, rendered: Buffer, fine: Buffer) -> Buffer:
        self._stream.launch(
            "begin_maps", blocks_of(self._side**2, 128), 128,
            rendered, self._weight, self._uniforms, self._normals, self._coarse, self._side,
        )  # fmt: skip
        x = self._fine(fine, add=self._upsample(self._coarse))
        for conv in self._mix:
            x = conv(x)
        self._stream.launch(
            "finish_maps", blocks_of(OUTPUT * OUTPUT, 128), 128,
            self._own(x), self._normals, self._uniforms, self._maps, OUTPUT,
        )  # fmt: skip
        return self._maps


class _Program:
    """The parts one after the other, and what comes of them."""

    def __init__(
        self,
        stream: Stream,
        parts: tuple[_Encoder, _Unprojection, _Temporal, _Planes, _Renderer, _PixelHead],
        inputs: tuple[Buffer, Buffer, Buffer],
    ) -> None:
        self._stream, self._parts, self._inputs = stream, parts, inputs
        self._there: tuple[Buffer, ...] = ()
        self._here: tuple[AnyArray, ...] = ()

    def record(self, here: tuple[AnyArray, ...]) -> Graph:
        """A graph that takes its input from pinned arrays."""
        self._run(here)  # compiles kernels, which a recording must not
        pinned = self._stream.card.pinned
        self._here = tuple(pinned(one.shape, one.dtype.type) for one in self._there)
        return self._stream.record("network", lambda: self._run(here))

    def results(self, features: int) -> tuple[Maps, Volume]:
        """For keeps."""
        rendered, maps, _ = (torch.from_numpy(array.copy()) for array in self._here)
        parts = torch.split(maps[None], [count for _, count in _MAPS], dim=1)
        side = round(len(rendered) ** 0.5)
        seen = rendered.T.view(1, _RENDERED, side, side)
        volume = Volume(
            seen[:, :features], seen[:, LANES : LANES + features],
            *(seen[:, one : one + 1] for one in (_DEPTH, _COARSE_DEPTH, _OPACITY)),
        )  # fmt: skip
        return Maps(**dict(zip((name for name, _ in _MAPS), parts, strict=True))), volume

    def planes(self, features: int) -> Tensor:
        """`(3, features, 64, 64)` the albedo planes, for keeps."""
        inner = self._here[2][:, 1:-1, 1:-1, :features]
        return torch.from_numpy(inner.astype(np.float32)).permute(0, 3, 1, 2)

    def _run(self, here: tuple[AnyArray, ...]) -> None:
        encoder, unprojection, temporal, planes, renderer, head = self._parts
        for buffer, array in zip(self._inputs, here, strict=True):
            self._stream.upload(buffer, array)
        fine, features = encoder(self._inputs[0])
        albedo, shading = planes(temporal(unprojection(features)))
        rendered = renderer(albedo, shading)
        self._there = (rendered, head(rendered, fine), albedo)
        for array, buffer in zip(self._here, self._there, strict=False):
            self._stream.download(array, buffer)


def _uniforms(pose: HeadPose, light: Tensor, *, fresh: bool) -> FloatArray:
    """`Uniforms` in triplane.cu."""
    own = light[0].numpy()
    floor = shading_floor(light[..., None])[0].numpy()
    parts = (
        pose.rotation[0].flatten().numpy(), pose.scale.numpy(), pose.shift[0].numpy(),
        [float(fresh)], floor, own, own * LAMBERT * BASIS_FACTORS,
    )  # fmt: skip
    return np.concatenate(parts).astype(np.float32)
