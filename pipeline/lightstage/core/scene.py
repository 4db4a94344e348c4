"""What every renderer of the light stage draws: parts, their posed vertices, a camera.

World space is the source camera's own orientation: x to the right of the unmirrored image, y up,
z from the person to the camera; lights and normals use it, whatever camera looks. Its origin is the
midpoint between the eyes of the person's neutral pose; its unit is the decimetre, MakeHuman's.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray

Texture = NDArray[np.uint8]
"""`(H, W, 4)` uint8 RGBA, sRGB with straight alpha."""

Triangles = NDArray[np.int32]
"""`(N, 3)` int32 vertex indices, counter-clockwise seen from outside."""


class Label(IntEnum):
    """What a pixel shows."""

    BACKGROUND = 0
    SKIN = 1
    EYES = 2
    MOUTH = 3
    BROWS = 4
    HAIR = 5
    GLASSES = 6
    HEADWEAR = 7
    CLOTHES = 8


@dataclass(frozen=True, slots=True)
class Material:
    """A dielectric surface: Lambertian below, one GGX lobe above; all renderers agree on it."""

    roughness: float = 0.5
    """GGX roughness as artists mean it: alpha is its square."""
    f0: float = 0.028
    """Reflectance at normal incidence; 0.028 is skin (index 1.4)."""
    scatter: float = 0.0
    """Mean free path of light below the surface in dm; the reference renderer with skin scattering
    uses it, others see 0."""


@dataclass(frozen=True, slots=True)
class Part:
    """What does not change of one drawn part."""

    name: str
    label: Label
    material: Material
    texture: Texture
    uvs: FloatArray
    """`(R, 2)` texture coordinates of the render vertices, v up as in OBJ."""
    source: NDArray[np.int32]
    """`(R,)` the position each render vertex takes: several share one along texture seams."""
    triangles: Triangles
    """`(N, 3)` into the render vertices."""
    blocks_light: NDArray[np.bool_]
    """`(N,)` whether the triangle is opaque enough to cast shadow."""
    blended: bool = False
    """Drawn after the opaque parts and blended by the texture's alpha (hair, brows, lashes,
    lenses); an opaque part ignores alpha."""
    coat: bool = False
    """Drawn as a clear coat: only its specular lobe is seen, whatever the texture (cornea, clear
    lenses)."""
    hair: bool = False
    """A bunch of cards: normals are bent outwards and shadow rays start further off."""


@dataclass(frozen=True, slots=True)
class Posed:
    """One moment of a person."""

    positions: tuple[FloatArray, ...]
    """Per part, `(V, 3)` float32 world positions in dm, indexed by `Part.source`."""
    normals: tuple[FloatArray, ...]
    """Per part, `(V, 3)` float32 unit normals in world space."""
    head: FloatArray
    """`(4, 4)` float32 rigid transform from the neutral head to the world."""
    landmarks: FloatArray
    """`(468, 3)` float32 world positions of MediaPipe's face mesh points."""


@dataclass(frozen=True, slots=True)
class PinholeCamera:
    """A pinhole camera without skew, square pixels."""

    position: FloatArray
    """`(3,)` world position in dm."""
    focal: float
    """Focal length in image heights."""
    width: int
    height: int
    rotation: FloatArray = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    """`(3, 3)` from world to camera axes (x right, y up, z towards the viewer); the identity for
    the source camera."""

    def project(self, points: FloatArray) -> FloatArray:
        """Projects world points `(..., 3)`.

        Returns:
            `(..., 3)` float32: x right and y down in pixels (the first pixel's centre is at 0.5),
            and depth in dm along the optical axis, positive in front.
        """
        local = (np.asarray(points) - self.position) @ self.rotation.T
        depth = -local[..., 2]
        scale = self.focal * self.height / depth
        x = local[..., 0] * scale + self.width / 2
        y = self.height / 2 - local[..., 1] * scale
        result: FloatArray = np.stack([x, y, depth], axis=-1).astype(np.float32)
        return result
