"""A texture layout for webcam framings: MakeHuman's skin islands, the head enlarged.

In MakeHuman's own square the face is a fifth of the width; here the head takes half of it, and
what lies between the islands (a maker's stamp, the photograph's background) is left behind.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.core.scene import Texture

# Lower left corners (u, v) in MakeHuman's square and here, and the scale; islands in the order of
# their first face: head, mouth, torso with arms and legs, eye socket, hand, foot, and the other
# socket, hand and foot.
_HEAD, _SMALL = 1.44, 0.55
_PLACES = (
    (0.641, 0.149, 0.485, 0.02, _HEAD),
    (0.758, 0.012, 0.02, 0.02, _SMALL),
    (0.009, 0.138, 0.01, 0.46, 0.6),
    (0.012, 0.547, 0.02, 0.12, _SMALL),
    (0.361, 0.012, 0.13, 0.02, _SMALL),
    (0.023, 0.010, 0.13, 0.14, _SMALL),
    (0.086, 0.547, 0.07, 0.12, _SMALL),
    (0.570, 0.011, 0.25, 0.02, _SMALL),
    (0.198, 0.010, 0.25, 0.14, _SMALL),
)
# Islands whose surface is not skin.
_CAVITIES = (1, 3, 6)
# Texture around an island that is carried along, as a share of the square.
_MARGIN = 0.008


@dataclass(frozen=True, slots=True)
class Atlas:
    """The skin's texture coordinates in the layout of this module."""

    uvs: FloatArray
    """`(T, 2)` float32, v up; what belongs to no island stays where it was."""
    island: NDArray[np.int8]
    """`(T,)` index of the island, -1 for none."""

    @property
    def cavity(self) -> NDArray[np.bool_]:
        """`(T,)` whether it belongs to the mouth's or the eye sockets' inside."""
        return np.isin(self.island, _CAVITIES)

    @staticmethod
    def of(uvs: FloatArray, uv_faces: NDArray[np.int32]) -> "Atlas":
        """The layout for MakeHuman's `uvs` (T, 2) and the `uv_faces` (F, 4) of its group `body`.

        Raises:
            ValueError: the faces are not those of MakeHuman's base mesh.
        """
        count = len(uvs)
        rows, columns = uv_faces[:, :3].ravel(), uv_faces[:, 1:].ravel()
        links = csr_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count))
        _, island = connected_components(links, directed=False)
        _, first = np.unique(island[uv_faces[:, 0]], return_index=True)
        names = island[uv_faces[np.sort(first), 0]]
        if len(names) != len(_PLACES):
            raise ValueError(
                f"the body's texture coordinates form {len(names)} islands, not {len(_PLACES)}"
            )
        placed = np.asarray(uvs, np.float32).copy()
        index = np.full(count, -1, np.int8)
        for place, (name, (u, v, to_u, to_v, scale)) in enumerate(zip(names, _PLACES, strict=True)):
            member = island == name
            placed[member] = (uvs[member] - (u, v)) * scale + (to_u, to_v)
            index[member] = place
        return Atlas(placed, index)


def to_atlas(texture: Texture, atlas: Atlas, size: int) -> Texture:
    """Bring a square texture in MakeHuman's layout into the atlas, `(size, size, 4)`."""
    # Area averaging first: cv2.remap would skip texels of a much larger source.
    scale = size * _HEAD / texture.shape[0]
    if scale < 1:
        small = max(1, round(texture.shape[0] * scale))
        texture = cv2.resize(texture, (small, small), interpolation=cv2.INTER_AREA).astype(np.uint8)
    source_size = texture.shape[0]
    filler = np.median(texture.reshape(-1, 4), axis=0)
    result = np.empty((size, size, 4), np.uint8)
    result[:] = filler
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    for place, (u, v, to_u, to_v, factor) in enumerate(_PLACES):
        member = atlas.uvs[atlas.island == place]
        low, high = member.min(0) - _MARGIN, member.max(0) + _MARGIN
        columns = np.flatnonzero((grid >= low[0]) & (grid <= high[0]))
        rows = np.flatnonzero((1 - grid >= low[1]) & (1 - grid <= high[1]))
        x = ((grid[columns] - to_u) / factor + u) * source_size - 0.5
        y = (1 - ((1 - grid[rows] - to_v) / factor + v)) * source_size - 0.5
        map_x, map_y = np.meshgrid(x, y)
        patch = cv2.remap(
            texture,
            map_x.astype(np.float32),
            map_y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        result[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = patch
    return result
