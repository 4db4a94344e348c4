"""Head pose from Deep3DFaceRecon (Deng et al. 2019), as EG3D's own cameras were found.

For those who have its weights (`epoch_20.pth` of the Deep3DFaceRecon_pytorch repository, research
use only): its network regresses 257 coefficients of the Basel Face Model from an aligned crop, and
three of them are the head's angles. The face model itself is not needed for these.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resources import CHECKPOINTS
from vcam_relight.pipeline.engines.paper.crop import Square
from vcam_relight.pipeline.engines.paper.weights import CheckpointError, as_state, assign, read

DEFAULT_PATH = CHECKPOINTS / "deep3d" / "epoch_20.pth"
VARIABLE = "VCAM_DEEP3D_CHECKPOINT"
"""The environment variable that names another place."""

_ADVICE = "Use epoch_20.pth of Deep3DFaceRecon_pytorch as released."
_SIZE = 224
_UNITS = 224 / 102
"""The crop's side in units of the standard face: 102 pixels each."""
_HEADS = (80, 64, 80, 3, 27, 2, 1)
"""Identity, expression, texture, angles, light, two of place and one."""
_ANGLES = 3


class _Bottleneck(nn.Module):
    """ResNet's block (He et al. 2016), the stride in its 3x3."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * planes
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            widen = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(widen, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu_(self.bn1(self.conv1(x)))
        y = F.relu_(self.bn2(self.conv2(y)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu_(self.bn3(self.conv3(y)).add_(shortcut))


class _ResNet50(nn.Module):
    """`(1, 3, H, W)` to `(1, 2048, 1, 1)`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for number, (planes, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
            layer = nn.Sequential()
            for block in range(blocks):
                stride = 2 if number > 1 and block == 0 else 1
                layer.append(_Bottleneck(inputs, planes, stride))
                inputs = 4 * planes
            self.add_module(f"layer{number}", layer)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu_(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean((2, 3), keepdim=True)


class Deep3dNetwork(nn.Module):
    """Names as in the checkpoint's `net_recon`; built without memory, for `Deep3dPose.load`."""

    def __init__(self) -> None:
        with torch.device("meta"):
            super().__init__()
            self.backbone = _ResNet50()
            self.final_layers = nn.ModuleList(nn.Conv2d(2048, width, 1) for width in _HEADS)

    def forward(self, x: Tensor) -> Tensor:
        """Finds the head's angles.

        Args:
            x: `(1, 3, 224, 224)` RGB, sRGB-encoded, 0..1.

        Returns:
            `(1, 3)` radians about x, y and z.
        """
        angles: Tensor = self.final_layers[_ANGLES](self.backbone(x)).flatten(1)
        return angles


def weights_path() -> Path | None:
    """Where the weights are; None where they are not and `VARIABLE` names no place for them."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_PATH if DEFAULT_PATH.is_file() else None


class Deep3dPose:
    """A `pipeline.engines.paper.pose.PoseEstimator`."""

    def __init__(self, network: Deep3dNetwork, device: str = "cpu") -> None:
        """Args: `network` has weights; it is not to be used elsewhere afterwards."""
        self._network = network.requires_grad_(False).eval().to(device)
        self._device = torch.device(device)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> "Deep3dPose":
        """With the weights of `epoch_20.pth`.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: it is damaged, not only weights, or of another network.
        """
        if not path.is_file():
            raise FileNotFoundError(
                f"no weights of Deep3DFaceRecon at {path}: put its epoch_20.pth there (research "
                f"use only), or unset {VARIABLE} to find poses without it"
            )
        content = read(path, _ADVICE)
        if not isinstance(content, dict) or "net_recon" not in content:
            raise CheckpointError(f"{path} holds no net_recon. {_ADVICE}")
        network = Deep3dNetwork()
        found = as_state(content["net_recon"], path, _ADVICE)
        assign(network, found, f"{path} is not of Deep3DFaceRecon", _ADVICE)
        return cls(network, device)

    @torch.inference_mode()
    def rotation(self, frame: BgrImage, landmarks: FloatArray) -> FloatArray:
        """See `pipeline.engines.paper.pose.PoseEstimator`."""
        crop = Square.around(landmarks, _UNITS).cut(frame, _SIZE)
        rgb = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))
        angles = self._network(rgb[None].to(self._device, torch.float32) / 255)[0].cpu().numpy()
        return rotation_of(angles)


def rotation_of(angles: FloatArray) -> FloatArray:
    """`(3,)` rotation vector of angles `(3,)` about x, then y, then z."""
    turn = np.eye(3)
    for axis, angle in zip(np.eye(3), angles, strict=True):
        turn = cv2.Rodrigues(axis * float(angle))[0] @ turn
    return np.asarray(cv2.Rodrigues(turn)[0][:, 0], np.float32)
