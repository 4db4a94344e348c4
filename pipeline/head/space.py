"""Canonical head space, and how it lies in a crop.

Its axes are those of MediaPipe's canonical face: x to the right of the image, y up, z out of the
face; the unit is the decimetre. A head is seen without perspective (scaled orthography): over the
depth of a head before a webcam that is off by less than the network's own grid.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vcam_relight.pipeline.core.tensors import constant

HALF = 1.8
"""Planes and crops reach so far from the origin: a cube of 3.6 dm around the head."""
_CENTRE = (0.0, 0.2, -0.25)
_RADII = (0.82, 1.25, 1.05)
"""Of an ellipsoid about the skull, hair included: where an image's features are taken to lie
before depth is known."""


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Where heads lie in their crops."""

    rotation: Tensor
    """`(B, 3, 3)` from head to camera axes (x right, y up, z to the camera)."""
    scale: Tensor
    """`(B,)` half crop sides per decimetre."""
    shift: Tensor
    """`(B, 2)` where the origin is seen: x right, y down, -1..1 from edge to edge."""

    def seen_at(self, points: Tensor) -> Tensor:
        """`(B, N, 2)` places in the crop, x right and y down in -1..1, of head-space `(N, 3)`."""
        turned = torch.einsum("bij,nj->bni", self.rotation[:, :2], points)
        flip = constant((1.0, -1.0), turned)
        return turned * flip * self.scale[:, None, None] + self.shift[:, None]

    def lifted(self, places: Tensor, depths: Tensor) -> Tensor:
        """Head-space points.

        Args:
            places: `(N, 2)` in the crop, as `seen_at` gives them.
            depths: `(B, N, K)` dm towards the camera from the origin.

        Returns:
            `(B, N, K, 3)`.
        """
        plane = (places[None] - self.shift[:, None]) / self.scale[:, None, None]
        inverse = self.rotation  # rows times this is the transposed, which is the inverse
        flat = plane[..., :1] * inverse[:, None, 0] - plane[..., 1:] * inverse[:, None, 1]
        return flat[:, :, None] + depths[..., None] * inverse[:, None, None, 2]


def pixel_places(side: int) -> Tensor:
    """`(side^2, 2)` the middles of a square's pixels, x right, y down, -1..1 from edge to edge."""
    line = (torch.arange(side, dtype=torch.float32) + 0.5) * (2 / side) - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1)], dim=1)


def plane_anchors(side: int) -> tuple[Tensor, Tensor]:
    """Where each cell of the three planes looks for features in an image.

    A cell stands for a line through the head, which meets the ellipsoid at both its ends. The front
    plane (x, y) takes the near end and, as faces are symmetric, its mirror image; the side plane
    (z, y) the right and the left end; the top plane (x, z) the upper and the lower.

    Returns:
        points `(3 * 2 * side^2, 3)` in head space and their outward unit normals, same shape.
    """
    places = pixel_places(side) * HALF
    a, b = places[:, 0], -places[:, 1]
    centre, radii = torch.tensor(_CENTRE), torch.tensor(_RADII)

    def reach(first: Tensor, second: Tensor, axes: tuple[int, int], axis: int) -> Tensor:
        inside = ((first - centre[axes[0]]) / radii[axes[0]]) ** 2
        inside = inside + ((second - centre[axes[1]]) / radii[axes[1]]) ** 2
        return radii[axis] * torch.sqrt((1 - inside).clamp(min=0.0))

    front = centre[2] + reach(a, b, (0, 1), 2)
    aside = reach(a, b, (2, 1), 0)
    above = reach(a, b, (0, 2), 1)
    points = torch.cat(
        [
            torch.stack([a, b, front], dim=1),
            torch.stack([-a, b, front], dim=1),
            torch.stack([centre[0] + aside, b, a], dim=1),
            torch.stack([centre[0] - aside, b, a], dim=1),
            torch.stack([a, centre[1] + above, b], dim=1),
            torch.stack([a, centre[1] - above, b], dim=1),
        ]
    )
    normals = torch.nn.functional.normalize((points - centre) / radii**2, dim=1)
    return points, normals
