"""The layers that EG3D and StyleGAN2 share: equalised linear, modulated convolution, resampling.

From Karras et al. 2020 (arXiv 1912.04958, section 2) and Chan et al. 2022 (arXiv 2112.07945).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcam_relight.pipeline.engines.paper.convolution import Kernel

_SQRT2 = math.sqrt(2)


def leaky(x: Tensor) -> Tensor:
    """StyleGAN2's activation, in place: leaky ReLU with slope 0.2, times sqrt 2."""
    return F.leaky_relu_(x, 0.2).mul_(_SQRT2)


class FullyConnected(nn.Module):
    """Equalised linear layer: the stored weight is used times m / sqrt(inputs), the bias times m.

    Always in float32: its few numbers are styles, each of which scales a whole channel.
    """

    def __init__(self, inputs: int, outputs: int, multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.multiplier = multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(*, inputs)` to `(*, outputs)`."""
        gain = self.multiplier / math.sqrt(self.weight.shape[1])
        return F.linear(x, self.weight * gain, self.bias * self.multiplier)


class ModulatedLayer(nn.Module):
    """Modulated and demodulated 3x3 convolution (eq. 1 and 3), then noise, bias and `leaky`.

    Modulation scales the inputs and demodulation the outputs, which is equal to scaling the weights
    and leaves those constant from frame to frame.
    """

    def __init__(self, inputs: int, outputs: int, size: int, upsample: bool, noise: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.affine = FullyConnected(512, inputs)
        self.noise_strength = nn.Parameter(torch.empty(()))
        self.register_buffer("noise_const", torch.empty(size, size))
        self.register_buffer("resample_filter", torch.empty(4, 4))
        self.upsample = upsample
        self.noise = noise
        self._kernel: Kernel | None = None
        self._squares: Tensor | None = None

    def prepare(self, dtype: torch.dtype = torch.float32) -> None:
        """Derives, once the weights are there, what no frame changes."""
        weight = self.weight.detach()
        self._squares = weight.square().sum((2, 3)).t()
        if self.upsample:
            weight = upsampling_weight(weight, self.get_buffer("resample_filter"))
        self._kernel = Kernel(weight.to(dtype))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Maps `(1, inputs, h, w)` and a style vector `(1, 512)` to `(1, outputs, H, W)`.

        H and W are h and w, or twice that when upsampling.
        """
        if self._kernel is None or self._squares is None:
            raise RuntimeError("prepare the network once its weights are loaded")
        scale = self.affine(style)
        x = self._kernel(x, scale=scale[0])
        if self.upsample:
            x = _interleave(x)
        demodulation = torch.rsqrt(scale.square() @ self._squares + 1e-8)
        # The activation's factor goes through it: it is positive. In place, because a new tensor
        # would take the bias's layout.
        factor = (_SQRT2 * demodulation)[..., None, None].to(x.dtype)
        torch.addcmul((_SQRT2 * self.bias).to(x.dtype)[:, None, None], x, factor, out=x)
        if self.noise:
            x.add_(self.get_buffer("noise_const") * (_SQRT2 * self.noise_strength))
        return F.leaky_relu_(x, 0.2)


def upsampling_weight(weight: Tensor, resample_filter: Tensor) -> Tensor:
    """Transposed convolution by 2 and the smoothing filter after it, as one plain 3x3 convolution.

    StyleGAN2 upsamples with a 3x3 convolution of stride 1/2 followed by a 4x4 filter of gain 4.
    Their product has 6x6 taps at twice the resolution, of which each of the four output phases sees
    3x3 at the resolution of the input.

    Args:
        weight: `(outputs, inputs, 3, 3)`.
        resample_filter: `(4, 4)`, symmetric, of sum 1.

    Returns:
        `(4 * outputs, inputs, 3, 3)`: all outputs of one phase, then those of the next.
    """
    outputs, inputs = weight.shape[:2]
    # Full convolution: tap t of 6 stands at distance 3 - t from the output, in fine pixels.
    taps = F.conv2d(
        weight.reshape(-1, 1, 3, 3).flip(2, 3), 4 * resample_filter[None, None], padding=3
    )
    taps = taps.reshape(outputs, inputs, 3, 2, 3, 2)  # position, phase from the last: rows, columns
    phases = taps.flip(3, 5).permute(3, 5, 0, 1, 2, 4)
    return phases.reshape(4 * outputs, inputs, 3, 3)


def _interleave(x: Tensor) -> Tensor:
    """The four phases `(1, 4 * c, h, w)` put side by side: `(1, c, 2h, 2w)`, channels last."""
    height, width = x.shape[2:]
    phases = x[0].permute(1, 2, 0).reshape(height, width, 2, 2, -1).transpose(1, 2)
    return phases.reshape(1, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


def upsample_image(image: Tensor, resample_filter: Tensor) -> Tensor:
    """Doubles `(1, c, h, w)` with the `(4, 4)` filter at gain 4, as StyleGAN2's skip path does."""
    channels = image.shape[1]
    kernel = (4 * resample_filter).to(image.dtype).expand(channels, 1, 4, 4)
    return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=channels)


class ToPlanes(nn.Module):
    """1x1 modulated convolution without demodulation; its style is used times 1/sqrt(inputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.affine = FullyConnected(512, inputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Maps `(1, inputs, h, w)` and a style vector `(1, 512)` to `(1, outputs, h, w)`."""
        scale = self.affine(style) / math.sqrt(self.weight.shape[1])
        # One style for the whole image, and few weights: scaling them is the cheaper side.
        weight = self.weight[:, :, 0, 0] * scale
        # As a product of pixels: for so few outputs conv2d would first turn x to channels first.
        y = F.linear(x.permute(0, 2, 3, 1), weight.to(x.dtype), self.bias.to(x.dtype))
        return y.permute(0, 3, 1, 2)


class SynthesisBlock(nn.Module):
    """Two modulated convolutions and an image (or tri-plane) that each block adds to."""

    def __init__(
        self, inputs: int, outputs: int, image: int, size: int, upsample: bool, noise: bool
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", torch.empty(4, 4))
        self.conv0 = ModulatedLayer(inputs, outputs, size, upsample, noise)
        self.conv1 = ModulatedLayer(outputs, outputs, size, False, noise)
        self.torgb = ToPlanes(outputs, image)
        self.upsample = upsample

    def forward(self, x: Tensor, image: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the block.

        Args:
            x: features `(1, inputs, h, w)`.
            image: `(1, c, h, w)`.
            styles: three style vectors `(1, 3, 512)`.

        Returns:
            Features `(1, outputs, H, W)` and an image `(1, c, H, W)`.
        """
        first, second, last = styles.unbind(1)
        x = self.conv1(self.conv0(x, first), second)
        if self.upsample:
            image = upsample_image(image, self.get_buffer("resample_filter"))
        return x, image + self.torgb(x, last)
