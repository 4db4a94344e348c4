"""The volume in another pose, rendered on a card."""

import numpy as np
import torch

from vcam_relight.pipeline.cuda.device import Card, Stream
from vcam_relight.pipeline.cuda.pool import Pooled
from vcam_relight.pipeline.engines.triplane.network.model import TriplaneNetwork, Volume
from vcam_relight.pipeline.engines.triplane.runtime.cuda_network import (
    UNIFORMS,
    pose_uniforms,
    volume_of,
)
from vcam_relight.pipeline.engines.triplane.runtime.cuda_parts import CudaRenderer
from vcam_relight.pipeline.head.space import HeadPose


class CudaView:
    """Renders albedo planes that lie on a card; for one thread at a time."""

    def __init__(self, network: TriplaneNetwork, card: Card) -> None:
        self._stream = stream = Stream(card)
        self._features = network.renderer.density.in_features
        self._uniforms = card.empty((UNIFORMS,), np.float32)
        self._here = card.pinned((UNIFORMS,), np.float32)
        self._here[:] = 0
        self._renderer = CudaRenderer(stream, network.renderer, self._uniforms)
        self._rendered = card.pinned(self._renderer.output.shape, np.float32)

    def render(self, planes: Pooled, pose: HeadPose) -> Volume:
        """`VolumeRenderer.forward` without shading features.

        Args:
            planes: as `CudaNetwork.forward` gives them.
            pose: of the head, as it is to be seen.

        Raises:
            CudaError: the card fails.
        """
        self._here[: len(pose_uniforms(pose))] = pose_uniforms(pose)
        self._stream.upload(self._uniforms, self._here)
        self._stream.download(self._rendered, self._renderer(planes.buffer, planes.buffer))
        self._stream.synchronize()
        volume = volume_of(torch.from_numpy(self._rendered.copy()), self._features)
        return Volume(volume.albedo, None, volume.depth, volume.coarse_depth, volume.opacity)
