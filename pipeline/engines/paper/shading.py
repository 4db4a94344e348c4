"""From the albedo tri-plane and a light to the shading tri-plane, and to the image's style."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcam_relight.pipeline.engines.paper.convolution import Conv3x3
from vcam_relight.pipeline.engines.paper.layers import FullyConnected, SynthesisBlock, leaky
from vcam_relight.pipeline.engines.paper.triplane import PLANES


class LightMapping(nn.Module):
    """The mapping network of the lighting."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = FullyConnected(9, 512)
        self.fc0 = FullyConnected(512, 512, multiplier=0.01)

    def forward(self, sh: Tensor) -> Tensor:
        """Maps a lighting, `(1, 9)` SH, to five equal style vectors `(1, 5, 512)`."""
        x = self.embed(sh)
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-8)
        return leaky(self.fc0(x))[:, None].repeat(1, 5, 1)


class _Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(PLANES, 128, 1)
        self.conv2 = nn.Conv2d(128, 128, 1)
        self.conv3 = nn.Conv2d(128, 128, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu_(self.conv2(F.leaky_relu_(self.conv1(x), 0.2)), 0.2)
        x = self.conv3(x)
        return x


class ShadingEncoder(nn.Module):
    """From the albedo tri-plane to the shading tri-plane under a lighting."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping_x = _Features()
        self.b0 = SynthesisBlock(128, 128, PLANES, 256, upsample=False, noise=True)
        self.b1 = SynthesisBlock(128, 128, PLANES, 256, upsample=False, noise=True)

    def forward(self, albedo: Tensor, styles: Tensor) -> Tensor:
        """Maps planes `(1, 96, 256, 256)` and style vectors `(1, 5, 512)` to planes as large."""
        x, first = self.b0(self.mapping_x(albedo), albedo, styles[:, 0:3])
        planes: Tensor = self.b1(x, first, styles[:, 2:5])[1]
        return planes


class PlanesToStyle(nn.Module):
    """From the albedo tri-plane to what the super-resolution takes on top of the mean style."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {"0": Conv3x3(PLANES, 128), "2": Conv3x3(128, 256), "6": nn.Linear(256, 512)}
        )

    def forward(self, albedo: Tensor) -> Tensor:
        """Maps planes `(1, 96, h, w)` to 14 equal style vectors `(1, 14, 512)`."""
        x = F.leaky_relu_(self.layers["0"](albedo), 0.01)
        x = F.leaky_relu_(self.layers["2"](x), 0.01)
        style: Tensor = self.layers["6"](x.mean((2, 3)))
        return style[:, None].repeat(1, 14, 1)
