"""DPR (Zhou et al., Deep Single-Image Portrait Relighting, ICCV 2019) as a control to compare with.

Its weights are for research only: they are read from a folder that the user names, never shipped,
never a teacher. The network here is written from the paper and from the names and shapes of the
weights: an hourglass of four levels, whose innermost features hold 27 channels of light; these are
replaced by features of the light asked for. It works on CIE L of a 512x512 picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.lighting import Lighting
from pipeline.timing import StageTimer
from pipeline.types import Face, FaceState, Floats, Picture, RelightSettings

WEIGHTS = "trained_model_03.t7"
"""Its file for 512x512, as its authors named it: a PyTorch state dict, in spite of the ending."""

_SIDE = 512
_LIGHT_CHANNELS = 27
_LARGEST_FILE = 64 * 2**20
_FIRST = 0.76
"""Coefficient 0 of the lights in its authors' demonstration; sets the brightness."""
_DIRECTED = 0.6
"""Factor on the other coefficients, divided by the first: trained on lights of photographs, the
network overshoots with harder ones."""


class DprNetwork(nn.Module):
    """L of a picture and a light to L of the same picture under that light."""

    def __init__(self) -> None:
        super().__init__()
        self.pre_conv = nn.Conv2d(1, 16, 5, padding=2)
        self.pre_bn = nn.BatchNorm2d(16)
        inner = _Level(64, 128 + _LIGHT_CHANNELS, _LightSwap())
        self.HG3 = _Level(16, 16, _Level(16, 32, _Level(32, 64, inner)))
        self.conv_1 = nn.Conv2d(16, 16, 3, padding=1)
        self.bn_1 = nn.BatchNorm2d(16)
        self.conv_2 = nn.Conv2d(16, 16, 1)
        self.bn_2 = nn.BatchNorm2d(16)
        self.conv_3 = nn.Conv2d(16, 16, 1)
        self.bn_3 = nn.BatchNorm2d(16)
        self.output = nn.Conv2d(16, 1, 1)

    def forward(self, lightness: Tensor, light: Tensor) -> Tensor:
        """
        Args:
            lightness: `(N, 1, H, W)` CIE L over 100; sides divisible by 16.
            light: `(N, 9, 1, 1)` SH radiance coefficients in DPR's order.

        Returns:
            `(N, 1, H, W)` in 0..1.
        """
        x = F.relu(self.pre_bn(self.pre_conv(lightness)))
        x = self.HG3(x, light)
        x = F.relu(self.bn_1(self.conv_1(x)))
        x = F.relu(self.bn_2(self.conv_2(x)))
        x = F.relu(self.bn_3(self.conv_3(x)))
        result: Tensor = torch.sigmoid(self.output(x))
        return result


class _Residual(nn.Module):
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


class _Level(nn.Module):
    """One level of the hourglass: a skip at full size beside a way through half the size."""

    def __init__(self, planes: int, inner_planes: int, middle: nn.Module) -> None:
        super().__init__()
        # Instance norm, which has no weights: the file has none for these blocks.
        self.upper = _Residual(planes, planes, nn.InstanceNorm2d)
        self.low1 = _Residual(planes, inner_planes, nn.BatchNorm2d)
        self.middle = middle
        self.low2 = _Residual(inner_planes, planes, nn.InstanceNorm2d)

    def forward(self, x: Tensor, light: Tensor) -> Tensor:
        low = self.low2(self.middle(self.low1(F.max_pool2d(x, 2)), light))
        result: Tensor = self.upper(x) + F.interpolate(low, scale_factor=2, mode="nearest")
        return result


class _LightSwap(nn.Module):
    """Puts features of the asked light in the place of those of the present one. (The branch that
    reads the present light off them is not needed here.)"""

    def __init__(self) -> None:
        super().__init__()
        self.post_FC1 = nn.Conv2d(9, 128, 1, bias=False)
        self.post_relu1 = nn.PReLU()
        self.post_FC2 = nn.Conv2d(128, _LIGHT_CHANNELS, 1, bias=False)

    def forward(self, x: Tensor, light: Tensor) -> Tensor:
        features = F.relu(self.post_FC2(self.post_relu1(self.post_FC1(light))))
        features = features.expand(-1, -1, *x.shape[2:])
        swapped: Tensor = torch.cat([features, x[:, _LIGHT_CHANNELS:]], dim=1)
        return swapped


@dataclass
class _NoState:
    def reset(self) -> None:
        pass


class DprEngine:
    """DPR behind the interface of every engine: the largest square around a face is relit, as
    its authors' demonstration does with whole pictures; everything in the square changes."""

    name = "dpr"
    needs_faces = True

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """
        Args:
            folder: holds `trained_model_03.t7` of DPR's repository.
            device: a torch device.

        Raises:
            OSError: there is no such file.
            ValueError: it holds something else.
        """
        self._device = device
        self._network = _load(folder / WEIGHTS).to(device).eval()

    def new_state(self, timer: StageTimer) -> _NoState:
        """Nothing to remember: it knows single pictures only."""
        return _NoState()

    def relight(
        self,
        frame: Picture,
        faces: FaceState,
        lighting: Lighting,
        settings: RelightSettings,
        state: Any,
    ) -> Picture:
        """See `pipeline.engine.Engine`; no control but the light's shape is followed, and none of
        its colour: DPR relights luminance."""
        if not faces.faces or lighting.mode != "sh":
            return frame
        square = _square(faces)
        part = np.ascontiguousarray(frame[square])
        lab = cv2.cvtColor(part.astype(np.float32) / np.float32(255), cv2.COLOR_BGR2Lab)
        size = (part.shape[1], part.shape[0])
        lightness = cv2.resize(lab[..., 0] / np.float32(100), (_SIDE, _SIDE))
        with torch.inference_mode():
            given = torch.from_numpy(np.asarray(lightness, np.float32))[None, None]
            light = torch.from_numpy(dpr_light(lighting.sh)).reshape(1, 9, 1, 1)
            relit = self._network(given.to(self._device), light.to(self._device))
        lab[..., 0] = cv2.resize(relit[0, 0].cpu().numpy() * np.float32(100), size)
        result = frame.copy()
        bgr = np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2BGR), 0, 1)
        result[square] = np.round(bgr * 255).astype(np.uint8)
        return result


def dpr_light(sh: Floats) -> Floats:
    """`(9,)` gray coefficients as DPR does best with, of lighting `(9, 3)`."""
    gray = sh.mean(axis=1)
    light = gray / max(float(gray[0]), 1e-6) * np.float32(_FIRST * _DIRECTED)
    light[0] = _FIRST
    return np.asarray(light, np.float32)


def _square(faces: FaceState) -> tuple[slice, slice]:
    """The largest square of the frame with the largest face as near to its middle as it gets."""
    width, height = faces.size
    side = min(width, height)

    def tall(face: Face) -> float:
        return float(np.ptp(face.landmarks[:, 1]))

    points = max(faces.faces, key=tall).landmarks[:, :2]
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    left = int(np.clip(round(float(middle[0]) - side / 2), 0, width - side))
    top = int(np.clip(round(float(middle[1]) - side / 2), 0, height - side))
    return slice(top, top + side), slice(left, left + side)


def _load(path: Path) -> DprNetwork:
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path} is no file of DPR's weights: it is too large")
    try:
        # weights_only: the unpickler makes tensors and containers and runs no code of the file.
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler met
        raise ValueError(f"{path} is no file of DPR's weights") from error
    network = DprNetwork()
    own = network.state_dict()
    if not isinstance(stored, Mapping) or not own.keys() <= stored.keys():
        raise ValueError(f"{path} is no file of DPR's weights: layers are missing")
    try:
        network.load_state_dict({name: stored[name] for name in own})
    except RuntimeError as error:
        raise ValueError(f"{path} is no file of DPR's weights: shapes differ") from error
    return network
