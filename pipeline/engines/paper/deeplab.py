"""DeepLabV3 (Chen et al. 2017, arXiv 1706.05587) on a ResNet-34: the low-frequency features.

Every batch norm of the released network is an identity, so there is none here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcam_relight.pipeline.engines.paper.convolution import Conv3x3

WIDTH = 256
"""Channels that come out."""


class _DilatedBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int) -> None:
        super().__init__()
        if stride == 1:
            self.conv1: nn.Module = Conv3x3(inputs, outputs, dilation, bias=False)
        else:
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = Conv3x3(outputs, outputs, dilation, bias=False)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            if inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu_(self.conv1(x)))
        return F.relu_(y.add_(x if self.downsample is None else self.downsample(x)))


def _layer(inputs: int, outputs: int, blocks: int, stride: int, dilation: int) -> nn.Sequential:
    first = _DilatedBlock(inputs, outputs, stride, dilation)
    return nn.Sequential(
        first, *(_DilatedBlock(outputs, outputs, 1, dilation) for _ in range(blocks - 1))
    )


class _ResNet(nn.Module):
    """`(1, 5, H, W)` to `(1, 512, H/8, W/8)`: the last two layers dilate instead of striding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(5, 64, 7, 2, 3, bias=False)
        self.layer1 = _layer(64, 64, 3, 1, 1)
        self.layer2 = _layer(64, 128, 4, 2, 1)
        self.layer3 = _layer(128, 256, 6, 1, 2)
        self.layer4 = _layer(256, 512, 3, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu_(self.conv1(x)), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x


class _Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: the same features at five scales, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(512, WIDTH, 1, bias=False))]
            + [
                nn.Sequential(nn.Conv2d(512, WIDTH, 3, 1, rate, rate, bias=False))
                for rate in (12, 24, 36)
            ]
            + [nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(512, WIDTH, 1, bias=False))]
        )
        self.project = nn.Sequential(nn.Conv2d(5 * WIDTH, WIDTH, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        scales = [F.relu_(conv(x)) for conv in self.convs]
        # Resizing one pixel is repeating it.
        scales[-1] = scales[-1].expand(-1, -1, *x.shape[2:])
        return F.relu_(self.project(torch.cat(scales, 1)))


class _PyramidDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.aspp = _Pyramid()
        self.conv = Conv3x3(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.conv(self.aspp(x)))


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = _ResNet()
        self.decoder = _PyramidDecoder()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.decoder(self.encoder(x))
        return y


class DeepLab(nn.Module):
    """The low-frequency features of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.model = _Model()

    def forward(self, x: Tensor) -> Tensor:
        """Maps the image and its coordinates, `(1, 5, H, W)`, to `(1, 256, H/8, W/8)`."""
        y: Tensor = self.model(x)
        return y
