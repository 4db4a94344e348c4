"""Meshes that a person wears: what their makers are given and what they hand back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.core.scene import Label, Material, Texture, Triangles


@dataclass(frozen=True, slots=True)
class HeadShape:
    """The neutral base mesh of one person, with MakeHuman's own vertex order and topology."""

    positions: FloatArray
    """`(19158, 3)` float32 in dm, MakeHuman's axes (y up, the face towards +z); helper vertices
    follow the body's 13380. Vertices far below the chest stay where the template has them."""
    faces: NDArray[np.int32]
    """`(F, 4)` quads into `positions`, a triangle repeats its last corner."""
    groups: NDArray[np.str_]
    """`(F,)` MakeHuman's group of each face: `body`, `helper-hair`, `joint-head`, ..."""
    uvs: FloatArray
    """`(T, 2)` texture coordinates of the skin, v up."""
    uv_faces: NDArray[np.int32]
    """`(F, 4)` into `uvs`, aligned with `faces`."""
    eyes: FloatArray
    """`(2, 3)` centres of the person's left (+x) and right eyeball in dm."""


@dataclass(frozen=True, slots=True)
class Accessory:
    """A mesh on the neutral base mesh; `Figure` poses it with the head."""

    name: str
    label: Label
    positions: FloatArray
    """`(V, 3)` float32 in dm, in `HeadShape`'s axes."""
    triangles: Triangles
    """`(N, 3)` into `positions`, counter-clockwise seen from outside."""
    uvs: FloatArray
    """`(V, 2)` texture coordinates, v up."""
    texture: Texture
    material: Material
    rigid: bool = True
    """Moves with the skull alone (glasses, a hat); otherwise each vertex follows the skin near it
    (a scarf, a veil)."""
    blended: bool = False
    """As `Part.blended`."""
    coat: bool = False
    """As `Part.coat`."""
