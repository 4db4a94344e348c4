"""How much of a light each point of a head sees past the rest of it: cast shadows with edges.

From every point a ray goes towards the light over the head's depth, as in relief mapping. How near
it passes to the surface, over how far it has come, tells how much of such a light is hidden.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.lighting.lobes import Lobes


@dataclass(frozen=True, slots=True)
class VisibilityParams:
    """How rays are followed; dm."""

    steps: int = 24
    first: float = 0.1
    last: float = 2.4
    """Where a ray is looked at first and last: a nose is 0.3 high, a head 2.4."""
    bias: tuple[float, float] = (0.02, 0.06)
    """Clearance that is given to every ray, and per dm of its way: depth is known on a grid."""
    smallest: float = 0.12
    """Tangent of the half-angle of the smallest light: no shadow is sharper than the grid."""
    opaque: float = 0.5
    """Opacity of the volume from which a point casts shadows."""
    smooth: float = 0.8
    """Cells, sigma, of the depth and of the shadow."""


_PARAMS = VisibilityParams()
_NOTHING = np.float32(-10)
"""Depth where nobody is."""


def lobe_visibility(
    depth: Map,
    opacity: Map,
    scale: float,
    lobes: Lobes,
    size: int,
    params: VisibilityParams = _PARAMS,
) -> FloatArray:
    """`(K, size, size)` 0..1, how much of each light a head's points see.

    Args:
        depth: `(n, n)` dm towards the camera, of a crop.
        opacity: `(n, n)` 0..1 of the person.
        scale: half crop sides per decimetre.
        lobes: the lights.
        size: side of the result.
        params: how rays are followed.
    """
    n = depth.shape[0]
    solid = np.where(opacity > params.opaque, depth, _NOTHING)
    surface = cv2.GaussianBlur(depth, (0, 0), params.smooth)
    cells = np.float32(scale * n / 2)  # per dm
    x, y = np.meshgrid(np.arange(n, dtype=np.float32), np.arange(n, dtype=np.float32))
    ways = np.geomspace(params.first, params.last, params.steps).astype(np.float32)
    out = np.empty((len(lobes.radii), size, size), np.float32)
    for index, (towards, radius) in enumerate(zip(lobes.directions, lobes.radii, strict=True)):
        widest = np.float32(max(np.tan(min(float(radius), 1.4)), params.smallest))
        closest: FloatArray = np.full((n, n), np.float32(1))
        for way in ways:
            step = way * cells
            there = cv2.remap(
                solid, x + step * towards[0], y - step * towards[1], cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT, borderValue=float(_NOTHING),
            )  # fmt: skip
            clear = surface + way * towards[2] - there + params.bias[0] + params.bias[1] * way
            np.minimum(closest, clear / (way * widest), out=closest)
        seen = smoothstep(-1.0, 1.0, closest)
        out[index] = resize(cv2.GaussianBlur(seen, (0, 0), params.smooth), (size, size))
    return out
