"""The network in real time, by kernels of our own: on a CPU, or on a card."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.cuda.driver import CudaError
from vcam_relight.pipeline.cuda.pool import Pooled
from vcam_relight.pipeline.engines.triplane.network.model import (
    INPUT,
    OUTPUT,
    Maps,
    TemporalState,
    TriplaneNetwork,
    Volume,
)
from vcam_relight.pipeline.engines.triplane.runtime.cuda_network import CudaNetwork, DeviceMemory
from vcam_relight.pipeline.engines.triplane.runtime.native_network import NativeNetwork
from vcam_relight.pipeline.engines.triplane.runtime.threads import ALL_THREADS, torch_threads
from vcam_relight.pipeline.engines.triplane.temporal.optical_flow import FlowField
from vcam_relight.pipeline.engines.triplane.temporal.smoothing import Motion, smooth_maps
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.native.network import network_kernels


@dataclass(frozen=True, slots=True)
class Memory:
    """What goes on from one look at a person to the next."""

    state: TemporalState
    maps: Maps


RuntimeMemory = Memory | DeviceMemory
"""As one runtime keeps it."""
Planes = Tensor | Pooled
"""Albedo planes for other views: `(3, C, 64, 64)`, or what a card keeps."""
_AGREES = 0.05
"""Mean of what a card's maps may differ by from torch's: halves make 0.002 of it."""


class Runtime:
    """Runs a network whose weights no longer change, one image at a time.

    The images in between are kept channels last, in buffers of this object: it is for one thread at
    a time. Without kernels the network runs as it is. What comes out is on the CPU, but for the
    memory.
    """

    def __init__(
        self, network: TriplaneNetwork, card: Card | None = None, threads: int | None = None
    ) -> None:
        """Readies the network.

        Args:
            network: with its weights.
            card: that runs it; None: the CPU.
            threads: of the CPU to use, by default half as many as torch does: the frames go on
                beside the network.

        Raises:
            CudaError: the card does not run it, or says what the CPU does not say.
        """
        self._network = network = network.eval()
        self._card: CudaNetwork | None = None
        self._torch_threads = threads = threads or max(1, ALL_THREADS // 2)
        self._forward = network.forward
        if card is not None:
            with torch.inference_mode():
                self._card = CudaNetwork(network, card)
                self._check(self._card)
        elif (kernels := network_kernels()) is not None:
            kernels.threads(threads)
            # What is left to torch is small: its threads would wait for one another.
            self._forward, self._torch_threads = NativeNetwork(network, kernels).forward, 1

    def run(
        self,
        image: BgrImage,
        pose: HeadPose,
        light: Tensor,
        memory: RuntimeMemory | None,
        motion: Motion | None,
    ) -> tuple[Maps, Volume, RuntimeMemory, Planes]:
        """`TriplaneNetwork.forward` for a batch of one, and `smooth_maps`.

        What comes out stays as it is.

        Args:
            image: `(256, 256, 3)`.
            pose: as of `TriplaneNetwork.forward`.
            light: as of `TriplaneNetwork.forward`.
            memory: what the look before left; None for a fresh start. Another device's, after a
                failure, is forgotten.
            motion: since the look before; None for a fresh start.
        """
        with torch_threads(self._torch_threads), torch.inference_mode():
            if self._card is not None:
                there = memory if isinstance(memory, DeviceMemory) else None
                return self._card.forward(image, pose, light, there, motion)
            here = memory if isinstance(memory, Memory) else None
            state = here.state if here else None
            maps, volume, following, planes = self._forward(_tensor(image), pose, light, state)
            if here and motion:
                # Images of 128 pixels are too small for torch to share out.
                with torch_threads(1):
                    maps = smooth_maps(here.maps, maps, motion)
            return maps, volume, Memory(following, maps), planes

    def _check(self, card: CudaNetwork) -> None:
        """Raises CudaError where a card says what torch does not say, with and without a state."""
        image = np.random.default_rng(0).integers(0, 256, (INPUT, INPUT, 3), np.uint8)
        pose = HeadPose(torch.eye(3)[None], torch.tensor([0.5]), torch.tensor([[0.05, 0.02]]))
        light = torch.tensor([[1.0, 0.2, 0.3, -0.4, 0.1, 0.0, 0.1, 0.2, -0.1]])
        line = np.arange(OUTPUT, dtype=np.float32)
        still = FlowField(*np.meshgrid(line, line))
        there: DeviceMemory | None = None
        here: TemporalState | None = None
        for turn in range(2):
            pixels = np.ascontiguousarray(np.roll(image, 8 * turn, axis=0))
            # So long after the look before that nothing is followed slowly.
            got, _, there, _ = card.forward(pixels, pose, light, there, Motion(still, 60.0))
            maps, _, here, _ = self._network(_tensor(pixels), pose, light, here)
            for one, other in ((got.albedo, maps.albedo), (got.present, maps.present)):
                off = float((one - other).abs().mean())
                if not off < _AGREES:  # nor NaN
                    raise CudaError(f"its results differ from the CPU's by {off:.3g} on average")


def _tensor(image: BgrImage) -> Tensor:
    """`(1, 3, H, W)` RGB, -1..1."""
    rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(rgb).float()[None] / 127.5 - 1
