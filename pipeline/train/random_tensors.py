"""Random numbers where a network trains."""

import torch
from torch import Tensor


class RandomTensors:
    """Random tensors on a device, by torch's own generator, which CUDA graphs can capture."""

    def __init__(self, device: torch.device) -> None:
        """Takes the device."""
        self._device = device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """`shape` values, evenly distributed."""
        unit = torch.rand(*shape, device=self._device)
        return low + (high - low) * unit

    def normal(self, *shape: int) -> Tensor:
        """`shape` values of variance 1."""
        return torch.randn(*shape, device=self._device)

    def bernoulli(self, share: float, *shape: int) -> Tensor:
        """`shape` values, 1 with probability `share`, else 0."""
        return (self.uniform(0, 1, *shape) < share).float()

    def integers(self, end: int, *shape: int) -> Tensor:
        """`shape` integers from 0 to `end`, without it."""
        return torch.randint(end, shape, device=self._device)
