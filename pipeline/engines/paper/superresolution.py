"""EG3D's super-resolution: from the rendered 64x64 features to the 512x512 image."""

import torch.nn.functional as F
from torch import Tensor, nn

from vcam_relight.pipeline.engines.paper.layers import SynthesisBlock
from vcam_relight.pipeline.engines.paper.renderer import FEATURES


class SuperResolution(nn.Module):
    """Two upsampling synthesis blocks without noise."""

    def __init__(self) -> None:
        super().__init__()
        self.block0 = SynthesisBlock(FEATURES, 256, 3, 256, upsample=True, noise=False)
        self.block1 = SynthesisBlock(256, 128, 3, 512, upsample=True, noise=False)

    def forward(self, features: Tensor, styles: Tensor) -> Tensor:
        """Runs both blocks.

        Args:
            features: `(1, 32, 64, 64)`; the first three are the image.
            styles: `(1, 14, 512)`, of which the last is used.

        Returns:
            `(1, 3, 512, 512)` RGB, sRGB-encoded, about -1..1.
        """
        features = F.interpolate(  # of halves not every processor can
            features.float(), size=(128, 128), mode="bilinear", align_corners=False, antialias=True
        ).to(features.dtype)
        style = styles[:, -1:].expand(-1, 3, -1)
        x, small = self.block0(features, features[:, :3], style)
        image: Tensor = self.block1(x, small, style)[1]
        return image
