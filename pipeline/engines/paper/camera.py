"""EG3D's camera: 25 numbers, a 4x4 camera-to-world matrix and 3x3 intrinsics, both row by row.

The camera looks along its z axis with x to the right and y down. The world has the head in its
middle, y up, and z towards the viewer. Intrinsics are as fractions of the image's size.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL = 4.2647
"""EG3D's focal length as fractions of the image's size: a field of view of 13.4 degrees."""
RADIUS = 2.7
"""Distance of the camera from the middle of the head."""


def look_at(yaw: float, pitch: float) -> Tensor:
    """The camera that looks at the head from the side or from above.

    Args:
        yaw: degrees; positive views the person from the viewer's right.
        pitch: degrees; positive views the person from above.

    Returns:
        `(1, 25)`; 0, 0 is the frontal camera.
    """
    across, up = math.radians(yaw), math.radians(pitch)
    outward = torch.tensor(
        [math.sin(across) * math.cos(up), math.sin(up), math.cos(across) * math.cos(up)],
        dtype=torch.float64,
    )
    forward = -outward
    right = F.normalize(torch.linalg.cross(forward, torch.tensor([0.0, 1.0, 0.0]).double()), dim=0)
    down = torch.linalg.cross(forward, right)
    return camera_at(torch.stack([right, down, forward], dim=1), RADIUS * outward)


def camera_at(rotation: Tensor, position: Tensor) -> Tensor:
    """The camera `(1, 25)` with camera-to-world `rotation` `(3, 3)` at `position` `(3,)`."""
    matrix = torch.eye(4, dtype=rotation.dtype)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = position
    intrinsics = torch.tensor([[FOCAL, 0, 0.5], [0, FOCAL, 0.5], [0, 0, 1]])
    return torch.cat([matrix.flatten().float(), intrinsics.flatten()])[None]


@dataclass(frozen=True, slots=True)
class Rays:
    """One ray through the centre of each pixel, row by row."""

    origin: Tensor
    """`(3,)`, the same for all."""
    directions: Tensor
    """`(size * size, 3)` unit vectors in the world."""
    rotation: Tensor
    """`(3, 3)` camera-to-world."""
    size: int

    def points(self, depths: Tensor) -> Tensor:
        """`(n, s, 3)` world positions at distances `(n, s)` along the rays."""
        return self.origin + depths[..., None] * self.directions[:, None]


def rays(camera: Tensor, size: int) -> Rays:
    """The rays of a camera `(1, 25)` for a square image of `size` pixels."""
    matrix, k = camera[0, :16].view(4, 4), camera[0, 16:].view(3, 3)
    centres = (torch.arange(size, device=camera.device, dtype=camera.dtype) + 0.5) / size
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    y = (y - k[1, 2]) / k[1, 1]
    x = (x - k[0, 2] - k[0, 1] * y) / k[0, 0]
    local = torch.stack([x, y, torch.ones_like(x)], -1).view(-1, 3)
    directions = F.normalize(local @ matrix[:3, :3].t(), dim=1)
    return Rays(matrix[:3, 3], directions, matrix[:3, :3], size)


def normals(depth: Tensor, view: Rays) -> Tensor:
    """Surface normals of a depth map, by central differences of the positions.

    Args:
        depth: `(1, 1, size, size)` distances along the rays.
        view: the rays of the camera.

    Returns:
        `(1, 3, size, size)` unit vectors in the project's camera space: x to the right, y up,
        z from the person to the camera.
    """
    positions = view.points(depth.view(-1, 1)).view(view.size, view.size, 3)
    positions = positions.permute(2, 0, 1)[None]
    padded = F.pad(positions, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    along = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    outward = F.normalize(torch.linalg.cross(along, across, dim=1), dim=1)
    local = torch.einsum("ji,njhw->nihw", view.rotation, outward)
    return torch.cat([local[:, :1], -local[:, 1:]], 1)
