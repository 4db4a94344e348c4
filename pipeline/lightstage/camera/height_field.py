"""Simple shapes in front of the camera as height fields: soft unions of capsules, boxes, drums."""

import math

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray, Map

_FAR = -10.0


class HeightField:
    """A height field over an image; shapes added to it melt into one another like flesh.

    Lengths are in image heights, the origin is the image's centre, x points right, y up and z to
    the camera.
    """

    def __init__(self, height: int, width: int) -> None:
        self._pixel = 1 / height
        self.x = ((np.arange(width, dtype=np.float32) + 0.5) - width / 2) * self._pixel
        self.y = (height / 2 - (np.arange(height, dtype=np.float32) + 0.5)) * self._pixel
        self.z: Map = np.full((height, width), _FAR, np.float32)
        self.cover: Map = np.zeros((height, width), np.float32)

    def capsule(
        self, a: FloatArray, b: FloatArray, radius_a: float, radius_b: float, melt: float
    ) -> None:
        """Adds a rod with round ends.

        Args:
            a: `(3,)` middle of one end.
            b: `(3,)` middle of the other.
            radius_a: of the end at `a`.
            radius_b: of the end at `b`.
            melt: width over which it flows into what is there.
        """
        reach = max(radius_a, radius_b) + melt + 2 * self._pixel
        low, high = np.minimum(a, b)[:2] - reach, np.maximum(a, b)[:2] + reach
        columns = slice(*np.searchsorted(self.x, [low[0], high[0]]))
        rows = slice(*np.searchsorted(-self.y, [-high[1], -low[1]]))
        dx, dy = self.x[columns] - a[0], self.y[rows, None] - a[1]
        if not dx.size or not dy.size:
            return
        axis = b - a
        length = max(float(axis[:2] @ axis[:2]), 1e-9)
        t = np.clip((dx * axis[0] + dy * axis[1]) / length, 0, 1).astype(np.float32)
        radius = radius_a + t * np.float32(radius_b - radius_a)
        distance = np.hypot(dx - t * axis[0], dy - t * axis[1])
        dome = np.sqrt(np.maximum(radius**2 - distance**2, 0)) - 2 * np.maximum(
            distance - radius, 0
        )
        self._join(rows, columns, a[2] + t * axis[2] + dome, radius - distance, melt)

    def drum(
        self, centre: FloatArray, width: float, height: float, flat: float, corner: float
    ) -> None:
        """Adds an upright cylinder, or with `flat` 1 a board, with rounded corners."""
        dx, dy = self.x - centre[0], self.y[:, None] - centre[1]
        over_x = np.maximum(np.abs(dx) - width / 2 + corner, 0)
        over_y = np.maximum(np.abs(dy) - height / 2 + corner, 0)
        inside = corner - np.hypot(over_x, over_y)
        across = np.clip(np.abs(dx) / (width / 2), 0, 0.995)
        bulge = (1 - flat) * width / 2 * np.sqrt(1 - across**2) * np.ones_like(dy)
        z = centre[2] + bulge - 2 * np.maximum(-inside, 0)
        self._join(slice(None), slice(None), z.astype(np.float32), inside.astype(np.float32), 1e-4)

    def _join(self, rows: slice, columns: slice, z: Map, inside: Map, melt: float) -> None:
        old = self.z[rows, columns]
        blend = np.clip(0.5 + 0.5 * (z - old) / melt, 0, 1)  # smooth maximum (Quilez)
        self.z[rows, columns] = old + (z - old) * blend + melt * blend * (1 - blend)
        cover = np.clip(inside / self._pixel + 0.5, 0, 1)
        self.cover[rows, columns] = np.maximum(self.cover[rows, columns], cover)

    def window(self) -> tuple[slice, slice]:
        """Rows and columns that the shapes lie in, with a margin for `normals` and `openness`."""
        rows, columns = (np.flatnonzero(self.cover.any(axis)) for axis in (1, 0))
        if not rows.size:
            return slice(0, 0), slice(0, 0)
        return (
            slice(max(int(rows[0]) - 3, 0), int(rows[-1]) + 4),
            slice(max(int(columns[0]) - 3, 0), int(columns[-1]) + 4),
        )

    def normals(self, window: tuple[slice, slice]) -> FloatArray:
        """`(h, w, 3)` unit normals of a window."""
        z = self.z[window]
        z = np.where(self.cover[window] > 0, z, cv2.erode(z, np.ones((3, 3), np.uint8)))
        scale = 1 / (8 * self._pixel)
        dx = cv2.Sobel(z, cv2.CV_32F, 1, 0, scale=scale)
        dy = cv2.Sobel(z, cv2.CV_32F, 0, 1, scale=scale)
        steep = np.clip(np.stack([-dx, dy], -1), -4, 4)
        length = np.sqrt(1 + (steep**2).sum(-1, keepdims=True))
        result: FloatArray = np.concatenate([steep / length, 1 / length], -1).astype(np.float32)
        return result

    def openness(self, size: float, window: tuple[slice, slice]) -> Map:
        """`(h, w)` 0.35..1 of a window: darker in creases narrower than `size`."""
        z = np.maximum(self.z[window], self.z.max() - 4 * size)
        filled = cv2.GaussianBlur(z, (0, 0), max(size / self._pixel, 0.5))
        low = np.clip((z - filled) / np.float32(size), -1, 0)
        result: Map = np.maximum(1 + np.float32(1.2) * low, 0.35).astype(np.float32)
        return result


def turned(points: FloatArray, angle: float) -> FloatArray:
    """`(N, 3)` points turned about z by `angle` radians, anti-clockwise."""
    c, s = math.cos(angle), math.sin(angle)
    result: FloatArray = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
    return result
