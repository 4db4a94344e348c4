"""The network in real time: on a CPU by kernels of our own, on CUDA by torch's."""

import copy

import torch
from torch import Tensor

from vcam_relight.pipeline.core.tensors import moved
from vcam_relight.pipeline.engines.triplane.network.model import (
    INPUT,
    Maps,
    TemporalState,
    TriplaneNetwork,
    Volume,
)
from vcam_relight.pipeline.engines.triplane.runtime.native_network import NativeNetwork
from vcam_relight.pipeline.engines.triplane.runtime.threads import ALL_THREADS, torch_threads
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.native.network import network_kernels


class Runtime:
    """Runs a network whose weights no longer change, one image at a time.

    With the kernels of `pipeline/native` the images in between are kept channels last, in buffers
    of this object: it is for one thread at a time. Without them the network runs as it is. What
    goes in and comes out is on the CPU, but for the temporal state.
    """

    def __init__(
        self, network: TriplaneNetwork, device: str = "cpu", threads: int | None = None
    ) -> None:
        """Readies the network for a device.

        Args:
            network: with its weights.
            device: of torch.
            threads: of the CPU to use, by default half as many as torch does: the frames go on
                beside the network.

        Raises:
            RuntimeError: torch cannot use the device.
        """
        network = network.eval()
        threads = threads or max(1, ALL_THREADS // 2)
        if device != "cpu":
            self._forward, self._torch_threads = _MovedNetwork(network, device).forward, threads
            return
        kernels = network_kernels()
        if kernels is None:
            self._forward, self._torch_threads = network.forward, threads
        else:
            kernels.threads(threads)
            # What is left to torch is small: its threads would wait for one another.
            self._forward, self._torch_threads = NativeNetwork(network, kernels).forward, 1

    def run(
        self, image: Tensor, pose: HeadPose, light: Tensor, state: TemporalState | None
    ) -> tuple[Maps, Volume, TemporalState, Tensor]:
        """`TriplaneNetwork.forward` for a batch of one; what comes out stays as it is."""
        with torch_threads(self._torch_threads), torch.inference_mode():
            return self._forward(image, pose, light, state)


class _MovedNetwork:
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
