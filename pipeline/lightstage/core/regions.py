"""Where things are on the skin: soft masks of the face's regions in any texture layout.

Every texel knows the place on MakeHuman's template mesh that it shows. Masks, noise and smoothing
are functions of that place, so that what is painted with them agrees on both sides of every seam,
and follows the topology onto every identity.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import distance_transform_edt

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.lightstage.core.scene import Texture
from vcam_relight.pipeline.lightstage.core.wavefront import triangulate

# Outlines on the template mesh in dm, of the half x >= 0: seen from the front as (x, y), from the
# side as (z, y).
_LIPS = (
    (0.0, 6.690), (0.055, 6.706), (0.12, 6.690), (0.19, 6.648), (0.272, 6.605),
    (0.20, 6.545), (0.13, 6.497), (0.06, 6.478), (0.0, 6.476),
)  # fmt: skip
_MOUSTACHE = (
    (-0.05, 6.805), (0.03, 6.815), (0.11, 6.825), (0.22, 6.765), (0.33, 6.665), (0.37, 6.56),
    (0.29, 6.56), (0.25, 6.63), (0.0, 6.66), (-0.05, 6.66),
)  # fmt: skip
_CHIN = (
    (-0.05, 6.52), (0.05, 6.50), (0.09, 6.42), (0.21, 6.47), (0.285, 6.60), (0.345, 6.56),
    (0.31, 6.32), (0.20, 6.16), (0.12, 6.08), (-0.05, 6.08),
)  # fmt: skip
_JAW = (
    (0.80, 7.16), (0.90, 6.98), (1.06, 6.82), (1.24, 6.715), (1.40, 6.655), (1.8, 6.64),
    (1.8, 5.98), (0.98, 6.03), (0.80, 6.12), (0.73, 6.40), (0.645, 6.72), (0.64, 7.16),
)  # fmt: skip
_SIDEBURNS = ((0.86, 7.46), (0.80, 7.10), (0.80, 6.92), (0.645, 6.92), (0.64, 7.46))
_SCALP = (
    (1.42, 8.06), (1.16, 7.99), (1.02, 7.86), (0.93, 7.66), (0.87, 7.46), (0.80, 7.24),
    (0.66, 7.22), (0.60, 7.39), (0.34, 7.36), (0.24, 7.02), (0.14, 6.76), (-0.08, 6.62),
    (-0.9, 6.58), (-0.9, 9.0), (1.3, 9.0),
)  # fmt: skip

# Padding around the islands in texels; what is further off is never sampled, even by mipmaps.
_PADDING = 12
# Width of the zone along an island's border where photographs are distrusted, texels.
_FADE = 7.0


@dataclass(frozen=True, slots=True)
class Regions:
    """The skin's texels in one texture layout, K of them, and what each shows."""

    size: int
    """Side of the square texture."""
    texels: NDArray[np.int32]
    """`(K,)` index of each texel in the flattened texture, row 0 at the top (v = 1)."""
    vertices: NDArray[np.int32]
    """`(K, 3)` template vertices around each texel."""
    weights: FloatArray
    """`(K, 3)` their barycentric weights."""
    places: FloatArray
    """`(K, 3)` point of the template mesh in dm."""
    spacing: FloatArray
    """`(K,)` dm between neighbouring texels there; finer things cannot be painted."""
    edge: FloatArray
    """`(K,)` 0 at the border of a texture island .. 1 some texels inside: fine detail there
    does not agree with the other side of the seam."""
    masks: dict[str, FloatArray]
    """Region name to `(K,)` in 0..1: lips, eyelids, under_eyes, lash_line, cheeks, forehead, nose,
    ears, blush, moustache, chin, jaw, sideburns, scalp, face."""
    padding: tuple[NDArray[np.int32], NDArray[np.int32]]
    """Texels around the islands, and the position in `texels` of the nearest skin texel."""
    smoother: sparse.csr_matrix
    """One diffusion step over the template's vertices."""

    @staticmethod
    def build(
        positions: FloatArray,
        faces: NDArray[np.int32],
        uvs: FloatArray,
        uv_faces: NDArray[np.int32],
        size: int,
    ) -> "Regions":
        """Find the skin's texels for a texture of `size` by `size`.

        positions: (V, 3) MakeHuman's untouched template in dm. faces, uv_faces: (F, 4) of the skin
        (without the mouth's and eye sockets' inside). uvs: (T, 2), v up.
        """
        corners = triangulate(faces).astype(np.int32)
        points = triangulate(uv_faces)
        plane = np.stack([uvs[:, 0], 1 - uvs[:, 1]], axis=1) * size - 0.5
        owner = np.full((size, size), -1, np.int32)
        for index, triangle in enumerate(np.rint(plane[points] * 16).astype(np.int32)):
            cv2.fillConvexPoly(owner, triangle, index, shift=4)
        texels = np.flatnonzero(owner >= 0).astype(np.int32)
        triangles = owner.ravel()[texels]
        rows, columns = np.divmod(texels, size)
        weights = _barycentric(np.stack([columns, rows], axis=1), plane[points[triangles]])
        vertices = corners[triangles]
        places = np.einsum("kc,kcd->kd", weights, positions[vertices]).astype(np.float32)
        spacing = np.sqrt(_areas(positions[corners]) / np.maximum(_areas(plane[points]), 1e-6))
        return Regions(
            size,
            texels,
            vertices,
            weights,
            places,
            spacing[triangles].astype(np.float32),
            smoothstep(1.0, _FADE, distance_transform_edt(owner >= 0).ravel()[texels]),
            _masks(places),
            _padding(owner >= 0, texels),
            _smoother(faces, len(positions)),
        )

    def read(self, texture: Texture) -> NDArray[np.uint8]:
        """`(K, 4)` the skin's texels of a texture in this layout."""
        texels: NDArray[np.uint8] = texture.reshape(-1, 4)[self.texels]
        return texels

    def write(self, texture: Texture, rgb: NDArray[np.uint8]) -> Texture:
        """A copy of `texture` with the skin's colours replaced by `rgb` (K, 3), and padded."""
        result = texture.reshape(-1, 4).copy()
        result[self.texels, :3] = rgb
        outside, nearest = self.padding
        result[outside, :3] = rgb[nearest]
        return result.reshape(texture.shape)

    def smooth(self, values: FloatArray, steps: int) -> FloatArray:
        """`(K, C)` values with what is finer than some `steps` edges of the mesh taken out."""
        count = self.smoother.shape[0]
        total = np.bincount(self.vertices.ravel(), self.weights.ravel(), minlength=count)
        columns = []
        for channel in values.T:
            shares = (self.weights * channel[:, None]).ravel()
            sums = np.bincount(self.vertices.ravel(), shares, minlength=count)
            # Both are diffused: a vertex that no texel touches must not count.
            over, under = sums, np.maximum(total, 0)
            for _ in range(steps):
                over, under = self.smoother @ over, self.smoother @ under
            mean = over / np.maximum(under, 1e-6)
            columns.append((mean[self.vertices] * self.weights).sum(1))
        result: FloatArray = np.stack(columns, axis=1).astype(np.float32)
        return result


def fractal_noise(
    places: FloatArray, wavelength: float, rng: np.random.Generator, octaves: int = 3
) -> FloatArray:
    """`(K,)` smooth noise over `places` (K, 3), mean about 0 and deviation about 1.

    wavelength: of the coarsest octave, in the unit of `places`; each further one has half of it
    and half the weight.
    """
    total = np.zeros(len(places), np.float32)
    for octave in range(octaves):
        lattice = rng.standard_normal((32, 32, 32)).astype(np.float32)
        offset = rng.random(3) * 32
        at = (places * (2.0**octave / wavelength) + offset).astype(np.float32)
        total += _trilinear(lattice, at) / 2**octave
    # Blending along an axis leaves 0.74 of the variance: the mean of s^2 + (1 - s)^2 over a cell,
    # s the smooth step.
    deviation = 0.74**1.5 * np.sqrt(sum(4.0**-octave for octave in range(octaves)))
    result: FloatArray = (total / deviation).astype(np.float32)
    return result


def _trilinear(lattice: FloatArray, at: FloatArray) -> FloatArray:
    """Values of a periodic cubic `lattice` at points (K, 3) in its cells."""
    side = lattice.shape[0]
    cell = np.floor(at).astype(np.int32)
    t = smoothstep(0, 1, (at - cell).astype(np.float32))
    flat = lattice.ravel()
    low, high = cell % side, (cell + 1) % side
    total = np.zeros(len(at), np.float32)
    for x, wx in ((low[:, 0], 1 - t[:, 0]), (high[:, 0], t[:, 0])):
        for y, wy in ((low[:, 1], 1 - t[:, 1]), (high[:, 1], t[:, 1])):
            base = (x * side + y) * side
            w = wx * wy
            total += w * (
                flat[base + low[:, 2]] * (1 - t[:, 2]) + flat[base + high[:, 2]] * t[:, 2]
            )
    return total


def _areas(triangles: FloatArray) -> FloatArray:
    """Areas (N,) of triangles (N, 3, 2) or (N, 3, 3)."""
    u, v = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    square = (u * u).sum(1) * (v * v).sum(1) - (u * v).sum(1) ** 2
    result: FloatArray = np.sqrt(np.maximum(square, 0)) / 2
    return result


def _barycentric(points: NDArray[np.int64], triangles: FloatArray) -> FloatArray:
    """Weights (K, 3) of 2-D `points` (K, 2) in `triangles` (K, 3, 2)."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    u, v, w = b - a, c - a, points - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    second = (w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0]) / area
    third = (u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]) / area
    weights = np.stack([1 - second - third, second, third], axis=1)
    # A border texel's centre may lie outside of its triangle, but not far.
    weights = np.clip(weights, -0.5, 1.5)
    result: FloatArray = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return result


def _padding(
    inside: NDArray[np.bool_], texels: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    distance, nearest = distance_transform_edt(~inside, return_indices=True)
    outside = np.flatnonzero((distance > 0) & (distance <= _PADDING))
    rows, columns = (axis.ravel()[outside] for axis in nearest)
    index = np.searchsorted(texels, rows * inside.shape[1] + columns)
    return outside.astype(np.int32), index.astype(np.int32)


def _smoother(faces: NDArray[np.int32], count: int) -> sparse.csr_matrix:
    rows = faces.ravel()
    columns = np.roll(faces, -1, axis=1).ravel()
    links = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    links = links + links.T
    links.data[:] = 1
    links.setdiag(0)
    degree = np.maximum(np.asarray(links.sum(1)).ravel(), 1)
    return (0.5 * sparse.diags(1 / degree) @ links + 0.5 * sparse.identity(count)).tocsr()


def _masks(places: FloatArray) -> dict[str, FloatArray]:
    x, y, z = np.abs(places[:, 0]), places[:, 1], places[:, 2]
    front, side = np.stack([x, y], axis=1), np.stack([z, y], axis=1)
    head = smoothstep(5.9, 6.1, y)
    face = head * smoothstep(0.55, 0.75, z) * smoothstep(8.1, 7.95, y)
    ahead = smoothstep(1.15, 1.3, z)
    lips = smoothstep(-0.018, 0.014, _inside(front, _LIPS)) * ahead * head
    bare = 1 - lips
    opening = _ellipse(x, y, 0.317, 7.292, 0.135, 0.05)
    around_eye = smoothstep(1.0, 1.1, z) * head
    beyond_lips = smoothstep(0.0, 0.02, -_inside(front, _LIPS))
    hair = smoothstep(-0.06, 0.06, _inside(side, _SCALP)) * smoothstep(6.4, 6.6, y)
    ear = _ball(places, (0.80, 7.09, 0.48), (0.14, 0.32, 0.24)) * smoothstep(0.66, 0.72, x)
    jaw = smoothstep(-0.05, 0.10, _inside(side, _JAW))
    # The jaw's outline also holds the cheeks' front and the lips' surroundings seen from the side.
    jaw *= (
        smoothstep(6.84, 6.70, y)
        + smoothstep(0.34, 0.42, x)
        - smoothstep(6.84, 6.70, y) * smoothstep(0.34, 0.42, x)
    )
    return {
        "lips": lips,
        "eyelids": np.exp(-(_ellipse(x, y, 0.325, 7.335, 0.21, 0.115) ** 4)) * around_eye,
        "under_eyes": np.exp(-(_ellipse(x, y, 0.30, 7.165, 0.16, 0.075) ** 2)) * around_eye,
        "lash_line": np.exp(-(((opening - 1.0) / 0.35) ** 2)) * around_eye * (opening > 0.3),
        "cheeks": _ball(places, (0.42, 6.98, 1.20), (0.22, 0.20, 0.30)),
        "forehead": _ball(places, (0.0, 7.73, 1.47), (0.42, 0.19, 0.35)),
        "nose": _ball(places, (0.0, 6.96, 1.60), (0.15, 0.15, 0.18)),
        "ears": ear,
        "blush": _ball(places, (0.53, 7.04, 1.05), (0.22, 0.16, 0.32)),
        "moustache": smoothstep(-0.025, 0.035, _inside(front, _MOUSTACHE)) * ahead * bare
        * beyond_lips,
        "chin": smoothstep(-0.04, 0.06, _inside(front, _CHIN)) * smoothstep(1.1, 1.25, z) * bare
        * beyond_lips,
        "jaw": jaw * bare * beyond_lips * smoothstep(5.85, 6.05, y),
        "sideburns": smoothstep(-0.03, 0.04, _inside(side, _SIDEBURNS)) * (1 - ear)
        * smoothstep(0.5, 0.58, x),
        "scalp": hair * (1 - ear),
        "face": face,
    }  # fmt: skip


def _ellipse(
    x: FloatArray, y: FloatArray, cx: float, cy: float, rx: float, ry: float
) -> FloatArray:
    """Distance from a centre in units of the radii."""
    result: FloatArray = np.hypot((x - cx) / rx, (y - cy) / ry).astype(np.float32)
    return result


def _ball(
    places: FloatArray, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> FloatArray:
    """A Gaussian blob on both sides of the face; `radii` are those of its value 1/e."""
    mirrored = places * np.where(places[:, :1] < 0, (-1, 1, 1), (1, 1, 1))
    square = (((mirrored - np.array(centre)) / np.array(radii)) ** 2).sum(1)
    result: FloatArray = np.exp(-square).astype(np.float32)
    return result


def _inside(points: FloatArray, outline: tuple[tuple[float, float], ...]) -> FloatArray:
    """Signed distance (K,) of `points` (K, 2) to a closed outline, positive inside."""
    nearest = np.full(len(points), np.inf)
    odd = np.zeros(len(points), bool)
    for (ax, ay), (bx, by) in zip(outline, outline[1:] + outline[:1], strict=True):
        # A half outline is closed along the middle, which is no border.
        px, py = points[:, 0] - ax, points[:, 1] - ay
        dx, dy = bx - ax, by - ay
        if not (ax <= 0 and bx <= 0):
            t = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0, 1)
            nearest = np.minimum(nearest, np.hypot(px - t * dx, py - t * dy))
        if dy != 0:
            crosses = ((ay > points[:, 1]) != (by > points[:, 1])) & (px < py * dx / dy)
            odd ^= crosses
    result: FloatArray = np.where(odd, nearest, -nearest).astype(np.float32)
    return result
