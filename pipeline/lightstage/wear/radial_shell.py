"""A radial shell: a close surface around a head, a radius for every direction from its centre."""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from vcam_relight.pipeline.lightstage.core.solids import Reals
from vcam_relight.pipeline.lightstage.wear.accessories import HeadShape

EARS = (12353, 5756)
"""Vertices of the base mesh where the left and the right ear's top meets the head."""

# Of the maximum, in units of the distance between unit vectors.
_SOFTNESS = 0.13


class RadialShell:
    """Distance of the outermost surface from the head's centre, by direction."""

    def __init__(self, head: HeadShape, hair: Reals | None, ears: bool) -> None:
        self.head = head
        roots = head.positions[list(EARS)]
        self.eye_y = float(head.eyes[:, 1].mean())
        self.centre = np.array([head.eyes[:, 0].mean(), self.eye_y + 0.05, roots[:, 2].mean()])
        skin = head.positions[head.faces[head.groups == "body"]]
        # Of the shoulders only what is near the neck: the arms stand out in the neutral pose.
        near = skin[..., 1].min(1) > self.eye_y - 1.9
        near &= np.abs(skin[..., 0] - self.centre[0]).max(1) < 1.15
        skin = skin[near]
        points = np.concatenate(
            [skin.reshape(-1, 3), skin.mean(1), (skin + np.roll(skin, -1, 1)).reshape(-1, 3) / 2]
        )
        if not ears:
            for root in roots:
                beside = np.linalg.norm((points - root - (0, -0.25, -0.05))[:, 1:], axis=1) < 0.34
                points = points[~(beside & (np.abs(points[:, 0]) > abs(root[0]) + 0.02))]
        if hair is not None:
            points = np.concatenate([points, hair])
        offset = points - self.centre
        self._radius = np.linalg.norm(offset, axis=1)
        self._tree = cKDTree(offset / self._radius[:, None])

    def radius(self, directions: Reals) -> Reals:
        """`(...)` radius for unit `directions` (..., 3): a soft maximum, never inside."""
        flat = directions.reshape(-1, 3)
        distance, index = self._tree.query(flat, k=96)
        radii = self._radius[index]
        weight = np.exp(-((distance / _SOFTNESS) ** 2)) + 1e-12
        soft = ((weight * radii**14).sum(1) / weight.sum(1)) ** (1 / 14)
        hard = np.where(distance < 0.05, radii, 0).max(1)
        result: Reals = np.maximum(soft, hard).reshape(directions.shape[:-1])
        return result

    def at(self, directions: Reals, thickness: Reals | float, evenness: float = 1.5) -> Reals:
        """Points (..., 3) at a distance outside of the surface, which is smoothed.

        Args:
            directions: (..., 3) unit vectors.
            thickness: distance from the surface, dm.
            evenness: width of the smoothing in steps of the grid.
        """
        radius = evened = self.radius(directions)
        # Smoothing may only push outwards.
        for width in (2 * evenness, evenness, evenness / 2):
            smooth = gaussian_filter(evened, width, mode=("nearest", "wrap"))
            evened = np.maximum(smooth, radius)
        result: Reals = self.centre + directions * (evened + thickness)[..., None]
        return result


def dome(
    shell: RadialShell, rim: Reals, rows: int, thickness: Reals | float
) -> tuple[Reals, Reals]:
    """Grid of points (rows, columns, 3) from the crown down to the `rim`, and its directions.

    rim: (columns,) heights y in dm above the eyes, from the front over the left side, evenly in
    azimuth; the last column repeats the first. thickness: broadcastable to (rows, columns).
    """
    azimuth = np.linspace(0, 2 * np.pi, len(rim))
    target = shell.eye_y + rim - shell.centre[1]
    elevation = np.zeros(len(rim))
    for _ in range(6):
        radius = shell.radius(direction(azimuth, elevation))
        elevation = np.arcsin(np.clip(target / radius, -0.8, 0.95))
    t = np.linspace(0, 1, rows)[:, None]
    directions = direction(
        np.broadcast_to(azimuth, (rows, len(rim))), np.pi / 2 + (elevation - np.pi / 2) * t
    )
    points = shell.at(directions, thickness)
    points[0] = points[0].mean(0)  # one crown for all columns
    points[:, -1] = points[:, 0]
    return points, directions


def direction(azimuth: Reals, elevation: Reals) -> Reals:
    """Unit vectors; azimuth 0 is ahead (+z), pi/2 the person's left (+x)."""
    result: Reals = np.stack(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ],
        axis=-1,
    )
    return result
