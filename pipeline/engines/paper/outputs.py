"""What one view of a person shows."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Outputs:
    """One view under one light. All float32; images are RGB, sRGB-encoded, about -1..1."""

    image: Tensor
    """`(1, 3, 512, 512)`: the image."""
    image_raw: Tensor
    """`(1, 3, 64, 64)`: before super-resolution."""
    feat: Tensor
    """`(1, 32, 64, 64)`: the features that super-resolution starts from."""
    albedo: Tensor
    """`(1, 3, 64, 64)`: `image_raw` without shading."""
    shading: Tensor
    """`(1, 1, 64, 64)`: brightness of the light, 0 and up."""
    depth: Tensor
    """`(1, 1, 64, 64)`: distance from the camera along each pixel's ray, 2.25..3.3."""
    normal: Tensor
    """`(1, 3, 64, 64)`: unit vectors, x to the right, y up, z from the person to the camera."""
