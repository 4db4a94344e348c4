"""MediaPipe's 468 face mesh points on MakeHuman's base mesh.

`landmarks.npz` holds where they lie; `landmark_search` made it.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray

COUNT = 468
FILE = Path(__file__).with_name("landmarks.npz")


@dataclass(frozen=True, slots=True)
class Correspondence:
    """Landmarks as points on triangles of the base mesh."""

    vertices: NDArray[np.int32]
    """`(468, 3)` base vertices."""
    weights: FloatArray
    """`(468, 3)` barycentric weights."""

    def on(self, positions: FloatArray) -> FloatArray:
        """`(468, 3)` landmarks on a base mesh `(V, 3)`, posed or not."""
        result: FloatArray = np.einsum("lk,lkc->lc", self.weights, positions[self.vertices])
        return result


@cache
def load_correspondence() -> Correspondence:
    """The committed correspondence.

    Raises:
        OSError: the file is missing.
    """
    with np.load(FILE, allow_pickle=False) as arrays:
        return Correspondence(arrays["vertices"], arrays["weights"])
