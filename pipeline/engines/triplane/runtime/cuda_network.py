"""`TriplaneNetwork.forward` on a card, with what steadies its maps."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.cuda.device import AnyArray, Buffer, Card, Stream
from vcam_relight.pipeline.cuda.driver import CudaError
from vcam_relight.pipeline.cuda.pool import BufferPool, Pooled
from vcam_relight.pipeline.engines.triplane.network.model import (
    INPUT,
    OUTPUT,
    Maps,
    TriplaneNetwork,
    Volume,
)
from vcam_relight.pipeline.engines.triplane.runtime.cuda_layers import blocks_of
from vcam_relight.pipeline.engines.triplane.runtime.cuda_parts import (
    RENDERED,
    CudaEncoder,
    CudaPixelHead,
    CudaPlanes,
    CudaRenderer,
    CudaTemporal,
    CudaUnprojection,
)
from vcam_relight.pipeline.engines.triplane.runtime.native_layers import LANES
from vcam_relight.pipeline.engines.triplane.temporal.smoothing import MapSmoothingParams, Motion
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting.sh import BASIS_FACTORS, LAMBERT
from vcam_relight.pipeline.lighting.sh_torch import shading_floor

UNIFORMS = 33
"""Floats of `Uniforms` in triplane.cu."""
_DEPTH, _COARSE_DEPTH, _OPACITY = 32, 33, 34
"""Numbers of what the kernel `render` writes, after 16 of albedo and 16 of shading features."""
_MAPS = (("normal", 3), ("albedo", 3), ("present", 3), ("occlusion", 1), ("mask", 1))


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """What goes on from one look at a person to the next, on a card; never written to again."""

    features: Pooled
    """`(3, 32, 32, C)` floats of the three planes."""
    maps: Pooled
    """`(6, 128, 128)` floats: normals and source shading, small changes followed slowly."""


class CudaNetwork:
    """Looks at heads by one graph of kernels; for one thread at a time.

    All that differs from one look to the next is an image, a memory, a flow and a few numbers, at
    places that stay: nothing is recorded anew.
    """

    def __init__(self, network: TriplaneNetwork, card: Card) -> None:
        """Copies the weights to the card.

        Raises:
            CudaError: the card or the compiler refuses.
        """
        _check_sizes(network)
        self._stream = stream = Stream(card)
        planes = network.unprojection.place
        side, channels = planes.shape[-1], planes.shape[1]
        self._light = network.shading_planes.light
        self._features = network.renderer.density.in_features
        self._there: dict[str, Buffer] = {}
        self._here: dict[str, AnyArray] = {}
        """What goes to the card, in pinned memory."""
        for name, shape, dtype in (
            ("image", (INPUT, INPUT, 3), np.uint8),
            ("uniforms", (UNIFORMS,), np.float32),
            ("film", (2 * channels,), np.float32),
            ("flow", (2, OUTPUT, OUTPUT), np.float32),
        ):
            self._here[name] = card.pinned(shape, dtype)
            self._here[name][:] = 0
            self._there[name] = card.empty(shape, dtype)
        uniforms = self._there["uniforms"]
        self._state = card.empty((3, side, side, channels), np.float32)
        self._before = card.empty((6, OUTPUT, OUTPUT), np.float32)
        self._followed = card.empty((6, OUTPUT, OUTPUT), np.float32)
        self._encoder = CudaEncoder(stream, network.encoder)
        self._unprojection = CudaUnprojection(stream, network.unprojection, uniforms)
        self._temporal = CudaTemporal(stream, network, uniforms, self._state)
        self._planes = CudaPlanes(stream, network, self._there["film"])
        self._renderer = CudaRenderer(stream, network.renderer, uniforms)
        self._head = CudaPixelHead(stream, network.head, uniforms)
        front = HeadPose(torch.eye(3)[None], torch.ones(1), torch.zeros(1, 2))
        self._describe(np.zeros((INPUT, INPUT, 3), np.uint8), front, torch.zeros(1, 9), None)
        self._results: tuple[tuple[AnyArray, Buffer], ...] = ()
        rendered, maps, albedo = self._work()  # compiles kernels, which a recording must not
        self._results = tuple((card.pinned(one.shape, np.float32), one) for one in (rendered, maps))
        self._albedo = albedo
        self._graph = stream.record("network", self._work)
        self._states = BufferPool(card, self._state.shape, np.float32)
        self._maps = BufferPool(card, self._followed.shape, np.float32)
        self._kept_planes = BufferPool(card, albedo.shape, np.float16)

    def forward(
        self,
        image: BgrImage,
        pose: HeadPose,
        light: Tensor,
        memory: DeviceMemory | None,
        motion: Motion | None,
    ) -> tuple[Maps, Volume, DeviceMemory, Pooled]:
        """See `Runtime.run`; the planes stay on the card, `(3, 66, 66, 16)` halves."""
        stream, fresh = self._stream, memory is None or motion is None
        self._describe(image, pose, light, None if fresh else motion)
        if memory is not None and not fresh:
            stream.copy(self._state, memory.features.buffer)
            stream.copy(self._before, memory.maps.buffer)
        self._graph.launch()
        following = DeviceMemory(self._states.take(), self._maps.take())
        planes = self._kept_planes.take()
        stream.copy(following.features.buffer, self._state)
        stream.copy(following.maps.buffer, self._followed)
        stream.copy(planes.buffer, self._albedo)
        stream.synchronize()
        rendered, maps = (torch.from_numpy(array.copy()) for array, _ in self._results)
        parts = torch.split(maps[None], [count for _, count in _MAPS], dim=1)
        known = Maps(**dict(zip((name for name, _ in _MAPS), parts, strict=True)))
        return known, volume_of(rendered, self._features), following, planes

    def _describe(
        self, image: BgrImage, pose: HeadPose, light: Tensor, motion: Motion | None
    ) -> None:
        own = light[0].numpy()
        floor = shading_floor(light[..., None])[0].numpy()
        least = 1.0 if motion is None else motion.least
        here = self._here
        here["image"][:] = image
        here["uniforms"][:] = np.concatenate(
            [
                pose_uniforms(pose), [float(motion is None)], floor, own,
                own * LAMBERT * BASIS_FACTORS, [least],
            ]
        )  # fmt: skip
        here["film"][:] = self._light(light)[0].numpy()
        if motion is not None:
            here["flow"][0], here["flow"][1] = motion.flow.x, motion.flow.y

    def _work(self) -> tuple[Buffer, Buffer, Buffer]:
        """Gives what rays saw, maps and albedo planes."""
        stream, there, params = self._stream, self._there, MapSmoothingParams()
        for name, buffer in there.items():
            stream.upload(buffer, self._here[name])
        fine, features = self._encoder(there["image"])
        albedo, shading = self._planes(self._temporal(self._unprojection(features)))
        rendered = self._renderer(albedo, shading)
        maps = self._head(rendered, fine)
        stream.launch(
            "follow", blocks_of(OUTPUT * OUTPUT, 256), 256,
            maps, self._before, there["flow"], there["uniforms"], self._followed, OUTPUT,
            params.normal, params.source,
        )  # fmt: skip
        for array, buffer in self._results:
            stream.download(array, buffer)
        return rendered, maps, albedo


def _check_sizes(network: TriplaneNetwork) -> None:
    """Raises CudaError for a network that the kernels are not made for: another checkpoint's."""
    own, sizes = TriplaneNetwork().state_dict(), network.state_dict()
    if {name: one.shape for name, one in own.items()} != {
        name: one.shape for name, one in sizes.items()
    }:
        raise CudaError("kernels are made for the sizes of the network that is shipped")


def pose_uniforms(pose: HeadPose) -> FloatArray:
    """What `Uniforms` in triplane.cu begins with."""
    parts = (pose.rotation[0].flatten(), pose.scale, pose.shift[0])
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def volume_of(rendered: Tensor, features: int) -> Volume:
    """What rays brought back, of what the kernel `render` writes `(S^2, 36)`."""
    side = round(len(rendered) ** 0.5)
    seen = rendered.T.view(1, RENDERED, side, side)
    return Volume(
        seen[:, :features], seen[:, LANES : LANES + features],
        *(seen[:, one : one + 1] for one in (_DEPTH, _COARSE_DEPTH, _OPACITY)),
    )  # fmt: skip
