"""From the image to the albedo tri-plane: low and high frequencies, then both together."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcam_relight.pipeline.engines.paper.convolution import Conv3x3
from vcam_relight.pipeline.engines.paper.deeplab import WIDTH
from vcam_relight.pipeline.engines.paper.transformer import (
    PatchEmbedding,
    TransformerBlock,
    shuffled_map,
)

PLANES = 96
"""Channels of a tri-plane: three planes of 32 features."""

_SLOPE = 0.01


class LowDecoder(nn.Module):
    """The low frequencies, from DeepLab's features."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = PatchEmbedding(WIDTH)
        self.vit1 = TransformerBlock(heads=4)
        self.vit2 = TransformerBlock(heads=4)
        self.vit3 = TransformerBlock(heads=4)
        self.vit4 = TransformerBlock(heads=4)
        self.vit5 = TransformerBlock(heads=4)
        # The checkpoint numbers the steps between them, which have no weights, too.
        self.convs = nn.ModuleDict(
            {"2": Conv3x3(256, 128), "5": Conv3x3(128, 128), "7": Conv3x3(128, PLANES)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(1, 256, h, w)` to `(1, 96, 4h, 4w)`."""
        height = x.shape[2] // 2
        tokens = self.input_layer(x)
        for block in (self.vit1, self.vit2, self.vit3, self.vit4, self.vit5):
            tokens = block(tokens, height)
        x = F.relu_(self.convs["2"](_double(shuffled_map(tokens, height))))
        x = F.relu_(self.convs["5"](_double(x)))
        y: Tensor = self.convs["7"](x)
        return y


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class HighEncoder(nn.Module):
    """The high frequencies, from the image and its coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {
                "0": nn.Conv2d(5, 64, 7, 2, 3),
                "2": Conv3x3(64, 96),
                "4": Conv3x3(96, 96),
                "6": Conv3x3(96, 96),
                "8": Conv3x3(96, 96),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(1, 5, H, W)` to `(1, 96, H/2, W/2)`."""
        for layer in self.layers.values():
            x = F.leaky_relu_(layer(x), _SLOPE)
        return x


class HybridDecoder(nn.Module):
    """Joins low and high frequencies to the albedo tri-plane."""

    def __init__(self) -> None:
        super().__init__()
        self.layers1 = nn.ModuleDict({"0": Conv3x3(2 * PLANES, 256), "2": Conv3x3(256, 128)})
        self.embed = PatchEmbedding(128)
        self.vit = TransformerBlock(heads=2, reduction=2)
        self.layers2 = nn.ModuleDict(
            {
                "0": Conv3x3(PLANES + 256, 256),
                "2": Conv3x3(256, 128),
                "4": Conv3x3(128, 128),
                "6": Conv3x3(128, PLANES),
            }
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Maps two of `(1, 96, h, w)` to one as large."""
        x = torch.cat([low, high], 1)
        for layer in self.layers1.values():
            x = F.leaky_relu_(layer(x), _SLOPE)
        height = x.shape[2] // 2
        tokens = self.vit(self.embed(x), height)
        x = torch.cat([low, shuffled_map(tokens, height)], 1)
        for name in ("0", "2", "4"):
            x = F.leaky_relu_(self.layers2[name](x), _SLOPE)
        y: Tensor = self.layers2["6"](x)
        return y
