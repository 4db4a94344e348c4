"""DPR's hourglass (Zhou et al., Deep Single-Image Portrait Relighting, ICCV 2019).

For those who have its weights (`trained_model_03.t7` of the DPR repository, research use only): the
paper's network was trained with the lightings that this one reads off photographs. Written from the
paper and from the names and shapes of the weights: an hourglass of four levels, whose innermost
features hold 27 channels of light. The source lighting is read off these; with other features
in their place, the decoder paints the image under another lighting.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vcam_relight.pipeline.core.image import FloatArray, RgbImage
from vcam_relight.pipeline.core.resources import CHECKPOINTS
from vcam_relight.pipeline.engines.paper.crop import Square, largest
from vcam_relight.pipeline.engines.paper.weights import as_state, assign, read
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.lighting.exposure import exposure

WEIGHTS = "trained_model_03.t7"
"""Its file for 512x512, as its authors named it: a PyTorch state dict, in spite of the ending."""
DEFAULT_FOLDER = CHECKPOINTS / "dpr"
VARIABLE = "VCAM_DPR"
"""The environment variable that names another folder."""
SIDE = 512
"""Width and height of the image that the weights are for."""

_ADVICE = f"Use {WEIGHTS} of the DPR repository as released."
_LIGHT_CHANNELS = 27
_LEAST = 0.05
"""Exposure below which an estimate is dropped: it has no light on what a face shows."""


class DprNetwork(nn.Module):
    """L of an image and a lighting to L of the same image under that lighting."""

    def __init__(self) -> None:
        super().__init__()
        self.pre_conv = nn.Conv2d(1, 16, 5, padding=2)
        self.pre_bn = nn.BatchNorm2d(16)
        inner = _Level(64, 128 + _LIGHT_CHANNELS, _LightBottleneck())
        self.HG3 = _Level(16, 16, _Level(16, 32, _Level(32, 64, inner)))
        self.conv_1 = nn.Conv2d(16, 16, 3, padding=1)
        self.bn_1 = nn.BatchNorm2d(16)
        self.conv_2 = nn.Conv2d(16, 16, 1)
        self.bn_2 = nn.BatchNorm2d(16)
        self.conv_3 = nn.Conv2d(16, 16, 1)
        self.bn_3 = nn.BatchNorm2d(16)
        self.output = nn.Conv2d(16, 1, 1)

    def forward(self, lightness: Tensor, light: Tensor) -> Tensor:
        """Relights.

        Args:
            lightness: `(N, 1, H, W)` CIE L over 100; sides divisible by 16.
            light: `(N, 9, 1, 1)` SH radiance coefficients in the project's order.

        Returns:
            `(N, 1, H, W)` in 0..1.
        """
        x = self.HG3(self._features(lightness), light)
        x = F.relu(self.bn_1(self.conv_1(x)))
        x = F.relu(self.bn_2(self.conv_2(x)))
        x = F.relu(self.bn_3(self.conv_3(x)))
        result: Tensor = torch.sigmoid(self.output(x))
        return result

    def source_light(self, lightness: Tensor) -> Tensor:
        """Estimates the lighting in an image, as `forward` takes both.

        Returns:
            `(N, 9)` SH radiance coefficients in the project's order.
        """
        return self.HG3.source_light(self._features(lightness)).flatten(1)

    def _features(self, lightness: Tensor) -> Tensor:
        return F.relu(self.pre_bn(self.pre_conv(lightness)))


class _HourglassBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = norm(outputs)
        same = inputs == outputs
        self.shortcuts = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcuts(x))


class _LightBottleneck(nn.Module):
    """In the middle: reads the source lighting off its features, and writes another's."""

    def __init__(self) -> None:
        super().__init__()
        self.predict_FC1 = nn.Conv2d(_LIGHT_CHANNELS, 128, 1, bias=False)
        self.predict_relu1 = nn.PReLU()
        self.predict_FC2 = nn.Conv2d(128, 9, 1, bias=False)
        self.post_FC1 = nn.Conv2d(9, 128, 1, bias=False)
        self.post_relu1 = nn.PReLU()
        self.post_FC2 = nn.Conv2d(128, _LIGHT_CHANNELS, 1, bias=False)

    def forward(self, x: Tensor, light: Tensor) -> Tensor:
        features = F.relu(self.post_FC2(self.post_relu1(self.post_FC1(light))))
        features = features.expand(-1, -1, *x.shape[2:])
        return torch.cat([features, x[:, _LIGHT_CHANNELS:]], dim=1)

    def source_light(self, x: Tensor) -> Tensor:
        """`(N, 9, 1, 1)`."""
        features = x[:, :_LIGHT_CHANNELS].mean((2, 3), keepdim=True)
        light: Tensor = self.predict_FC2(self.predict_relu1(self.predict_FC1(features)))
        return light


class _Level(nn.Module):
    """One level of the hourglass: a skip at full size beside a way through half the size."""

    def __init__(self, planes: int, inner_planes: int, middle: "_Level | _LightBottleneck") -> None:
        super().__init__()
        # Instance norm, which has no weights: the file has none for these blocks.
        self.upper = _HourglassBlock(planes, planes, nn.InstanceNorm2d)
        self.low1 = _HourglassBlock(planes, inner_planes, nn.BatchNorm2d)
        self.middle = middle
        self.low2 = _HourglassBlock(inner_planes, planes, nn.InstanceNorm2d)

    def forward(self, x: Tensor, light: Tensor) -> Tensor:
        low = self.low2(self.middle(self._inward(x), light))
        result: Tensor = self.upper(x) + F.interpolate(low, scale_factor=2, mode="nearest")
        return result

    def source_light(self, x: Tensor) -> Tensor:
        """`(N, 9, 1, 1)`: only what leads inward runs."""
        return self.middle.source_light(self._inward(x))

    def _inward(self, x: Tensor) -> Tensor:
        y: Tensor = self.low1(F.max_pool2d(x, 2))
        return y


def weights_path() -> Path | None:
    """Where the weights are; None where they are not and `VARIABLE` names no place for them."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named) / WEIGHTS
    path = DEFAULT_FOLDER / WEIGHTS
    return path if path.is_file() else None


def load_network(path: Path) -> DprNetwork:
    """The network with the weights of a file, frozen, on the CPU. Nothing in the file is executed.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is damaged, not only weights, or of another network.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights of DPR at {path}: put {WEIGHTS} of its repository there (research use "
            f"only), or unset {VARIABLE} to do without it"
        )
    found = as_state(read(path, _ADVICE), path, _ADVICE)
    network = DprNetwork()
    # The file names each inner level twice, and again as parts of smaller networks.
    own = {name: found[name] for name in network.state_dict() if name in found}
    assign(network, own, f"{path} is not of DPR", _ADVICE)
    return network.requires_grad_(False).eval()


def _lightness(image: RgbImage) -> Tensor:
    """`(1, 1, H, W)` CIE L over 100, 0..1, of an image."""
    lab = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)
    return torch.from_numpy(lab[..., 0] / np.float32(100))[None, None]


class DprLight:
    """DPR as a `LightEstimator` (`pipeline.engines.paper.light`): the lighting on the largest face.

    DPR's basis, order of coefficients and axes are the project's (`pipeline.lighting.sh`). It works
    on lightness, where shadows are three times as shallow as in linear light: its lightings are as
    much more even. That is what the paper's network was trained with.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        """Raises what `load_network` raises."""
        self._network = load_network(path).to(device)
        self._device = torch.device(device)

    @torch.inference_mode()
    def __call__(self, context: FrameContext) -> FloatArray | None:
        """`(9, 3)` gray radiance of exposure 1; None without a face or without light on it."""
        faces = context.faces.faces
        if not faces:
            return None
        crop = Square.around(largest(faces).landmarks).cut(context.frame, SIDE)
        gray = self._network.source_light(_lightness(crop).to(self._device))[0].cpu().numpy()
        sh = np.repeat(gray[:, None], 3, axis=1)
        level = exposure(sh)
        return np.asarray(sh / level, np.float32) if (level > _LEAST).all() else None
