"""How a head is turned, and where EG3D's camera stands to see it so.

The head's axes are those of MediaPipe's canonical face. They agree with those of the Basel Face
Model, which EG3D's are, within a degree (from the five points of `pipeline.engines.paper.crop`).
"""

from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.engines.paper.camera import RADIUS, camera_at, look_at
from vcam_relight.pipeline.head.pose import HeadFinder

_CENTRE = np.array([0.0, 0.006, 0.161], np.float32)
"""From EG3D's origin to the middle of the Basel Face Model, in EG3D's units
(eg3d/dataset_preprocessing/ffhq/3dface2idr_mat.py)."""
_FLIP = np.array([1, -1, -1], np.float32)
"""Between the project's camera space (y up, z to the camera) and an image's (y down, z away)."""


class PoseEstimator(Protocol):
    """Estimates how a head is turned."""

    def rotation(self, frame: BgrImage, landmarks: FloatArray) -> FloatArray:
        """From the head's axes to camera space.

        Args:
            frame: `(H, W, 3)` BGR.
            landmarks: `(468, 3)` as in `pipeline.face.types.Face`.

        Returns:
            `(3,)` rotation vector: axis times angle in radians.
        """


class FacePose:
    """The tri-plane engine's pose: MediaPipe's canonical face fitted to the landmarks.

    These have no perspective, and EG3D's crop has hardly any.
    """

    def __init__(self) -> None:
        self._finder = HeadFinder()

    def rotation(self, frame: BgrImage, landmarks: FloatArray) -> FloatArray:
        """See `PoseEstimator`."""
        vector, _ = cv2.Rodrigues(self._finder.find(landmarks).rotation)
        return np.asarray(vector[:, 0], np.float32)


def head_camera(rotation: FloatArray, yaw: float, pitch: float) -> Tensor:
    """EG3D's camera for an aligned crop.

    Args:
        rotation: `(3,)` as of `PoseEstimator.rotation`.
        yaw: degrees by which the view is turned to the side from there, as in `look_at`.
        pitch: degrees by which it is turned upwards.

    Returns:
        `(1, 25)`.
    """
    view = look_at(yaw, pitch)[0, :16].view(4, 4)[:3, :3].numpy() * _FLIP
    matrix = np.asarray(cv2.Rodrigues(rotation)[0], np.float32).T @ view  # camera space to head
    position = matrix[:, 2] * RADIUS + _CENTRE
    position *= RADIUS / np.linalg.norm(position)
    return camera_at(torch.from_numpy(matrix * _FLIP), torch.from_numpy(position))
