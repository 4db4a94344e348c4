"""`network.model` on the kernels of `pipeline/cuda`: the same parts by the same names.

Each begins work on its stream and does not wait for it.
"""

import numpy as np
import torch
from torch import nn

from vcam_relight.pipeline.cuda.device import Buffer, Stream
from vcam_relight.pipeline.engines.triplane.network.model import (
    COARSE,
    FAR,
    FINE,
    NEAR,
    OUTPUT,
    SPREAD,
    ImageEncoder,
    PixelHead,
    TriplaneNetwork,
    Unprojection,
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
from vcam_relight.pipeline.head.space import HALF

RENDERED = 36
"""Numbers of what the kernel `render` writes of a ray."""


class CudaEncoder:
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
        """Of `(256, 256, 3)` BGR bytes; see `ImageEncoder.forward`."""
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


class CudaUnprojection:
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
        """Of an image's features; see `Unprojection.forward`."""
        self._stream.launch(
            "unproject", blocks_of(6 * self._side**2, 4), 128,
            features, self._anchors, self._uniforms, self._taken, self._side,
        )  # fmt: skip
        return self._mix(self._taken)


class CudaTemporal:
    """`TemporalGate`, on what `CudaUnprojection` gives."""

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
        """The next state, in place, and its image; see `TemporalGate.forward`."""
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


class CudaPlanes:
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
        """Albedo and shading features `(3, 66, 66, 16)`."""
        trunk = self._residual(self._enter(planes))
        albedo = self._albedo(self._upsample(trunk))
        return albedo, self._shading(self._upsample(self._second(self._first(trunk))))


class CudaRenderer:
    """`VolumeRenderer`; gives what the kernel `render` writes."""

    def __init__(self, stream: Stream, module: VolumeRenderer, uniforms: Buffer) -> None:
        if (COARSE, FINE) != (8, 4):
            raise ValueError("the kernel takes 8 coarse and 4 fine samples of a ray")
        self._stream, self._uniforms = stream, uniforms
        self._bias = float(module.density.bias)
        self._rays = round(len(module.places) ** 0.5)
        self.output = stream.card.empty((self._rays**2, RENDERED), np.float32)

    def __call__(self, albedo: Buffer, shading: Buffer) -> Buffer:
        """`(rays, RENDERED)`, see the kernel."""
        self._stream.launch(
            "render", blocks_of(8 * self._rays**2, 128), 128,
            albedo, shading, self._uniforms, self.output, albedo.shape[1] - 2, self._rays,
            NEAR, FAR, SPREAD, HALF, self._bias,
        )  # fmt: skip
        return self.output


class CudaPixelHead:
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
        """See `PixelHead.forward`."""
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
