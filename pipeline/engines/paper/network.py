"""All of the network, under the names of the released checkpoint."""

import torch
from torch import Tensor, nn

from vcam_relight.pipeline.engines.paper.convolution import Conv3x3
from vcam_relight.pipeline.engines.paper.deeplab import DeepLab
from vcam_relight.pipeline.engines.paper.layers import ModulatedLayer
from vcam_relight.pipeline.engines.paper.renderer import FEATURES, FeatureDecoder
from vcam_relight.pipeline.engines.paper.shading import LightMapping, PlanesToStyle, ShadingEncoder
from vcam_relight.pipeline.engines.paper.superresolution import SuperResolution
from vcam_relight.pipeline.engines.paper.temporal import TemporalNetwork
from vcam_relight.pipeline.engines.paper.triplane import HighEncoder, HybridDecoder, LowDecoder

UNUSED = (
    "encoders.eg3d.G.backbone.synthesis.",
    "encoders.eg3d.G.backbone.synthesis_lit.",
    "encoders.eg3d.G.backbone.mapping.embed.",
    "encoders.eg3d.G.backbone.mapping.fc",
    "encoders.eg3d.G.backbone.mapping_lit.w_avg",
)
"""Beginnings of the names of tensors that the checkpoint holds and no image needs: EG3D's own
generator, which the encoders took the place of, and the mapping that made its mean style."""


class _MeanStyle(nn.Module):
    """EG3D's mapping network, fully truncated: nothing of it is left but the mean style."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w_avg", torch.empty(512))


class _Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mapping = _MeanStyle()
        self.mapping_lit = LightMapping()


class _Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = _Backbone()
        self.superresolution = SuperResolution()
        self.decoder = FeatureDecoder(1 + FEATURES)
        self.shading_decoder = FeatureDecoder(1)


class _Eg3d(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.G = _Generator()


class _Encoders(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.deeplabv3 = DeepLab()
        self.decoder_f_low = LowDecoder()
        self.encoder_f_high = HighEncoder()
        self.decoder_f_hybrid = HybridDecoder()
        self.eg3d = _Eg3d()
        self.shading_encoder = ShadingEncoder()
        self.planes2ws = PlanesToStyle()


class PaperNetwork(nn.Module):
    """The modules; `pipeline.engines.paper.model` says in which order they run.

    Built without memory, on torch's meta device: weights are assigned, not copied. Call `prepare`
    after that, and after moving the network to another device.
    """

    def __init__(self) -> None:
        with torch.device("meta"):
            super().__init__()
            self.encoders = _Encoders()
            self.attention = TemporalNetwork()

    def prepare(self, dtype: torch.dtype = torch.float32) -> None:
        """Freezes the weights and derives from them what no frame changes.

        Args:
            dtype: of convolutions, matrix products and attention; styles and decoders stay in
                float32.
        """
        self.requires_grad_(False).eval()
        for module in self.modules():
            if isinstance(module, ModulatedLayer | Conv3x3):
                module.prepare(dtype)
            elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.to(dtype)
                module.weight.data = module.weight.contiguous(memory_format=torch.channels_last)
            elif isinstance(module, nn.Linear | nn.LayerNorm | nn.MultiheadAttention):
                module.to(dtype)
        self.attention.prepare()

    @property
    def mean_style(self) -> Tensor:
        """`(512,)`: EG3D's mean style, to which `planes2ws` adds."""
        return self.encoders.eg3d.G.backbone.mapping.get_buffer("w_avg")
