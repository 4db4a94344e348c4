"""Eyes that fit their lids: eyeballs, the rims of the lids, and what keeps the two apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.lightstage.assets.asset_pack import BaseMesh
from vcam_relight.pipeline.lightstage.assets.makehuman import Target, apply_target
from vcam_relight.pipeline.lightstage.core.wavefront import triangulate
from vcam_relight.pipeline.lightstage.person.skeleton import joint

Vertices = NDArray[np.int64]

# Profile of MakeHuman's eyeball with its cornea: degrees from the gaze, radii of the sphere.
_ANGLES = (0.0, 9.0, 15.0, 21.0, 30.0)
_RADII = (1.080, 1.066, 1.045, 1.015, 1.0)
# Lids stay this far outside of the eyeball, and what is further off than so many radii is no lid.
_GAP, _NEAR = 1.012, 1.7
# Of what is seen between the lids, in radii of the eyeball: how far below the pupil its middle is,
# and its least height for the young and for the old.
_MIDDLE = -0.04
_LEAST_YOUNG, _LEAST_OLD = 0.56, 0.46
# The unit `eyeWide` is added in such steps, at most so many.
_WIDENING, _OPENINGS = 0.15, 9
# An opening below this, in radii, is shut.
_SHUT = 0.02
_FACTORS = np.arange(0.3, 1.81, 0.1)
_AHEAD = np.array([0, 0, 1], np.float32)
# Where it is tried whether the eyeball is seen.
_COLUMNS, _ROWS = np.array([-0.2, 0.0, 0.2]), np.linspace(-0.65, 0.65, 66)
_PROBES = np.stack(np.meshgrid(_COLUMNS, _ROWS, indexing="ij"), axis=-1).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class Eyes:
    """The eyeballs: spheres with a cornea before them."""

    centres: FloatArray
    """`(2, 3)` of the left (+x) and the right one, dm."""
    radii: FloatArray
    """`(2,)` dm."""

    @staticmethod
    def of(base: BaseMesh, positions: FloatArray) -> "Eyes":
        """The eyeballs of base mesh `positions` (V, 3)."""
        centres, radii = [], []
        for side in "lr":
            centre = joint(base, positions, f"joint-{side}-eye")
            ball = np.unique(base.faces[base.groups == f"helper-{side}-eye"])
            centres.append(centre)
            radii.append(np.linalg.norm(positions[ball] - centre, axis=1).mean())
        return Eyes(np.array(centres, np.float32), np.array(radii, np.float32))


class Lids:
    """The skin around the eyes, of any identity."""

    def __init__(self, base: BaseMesh) -> None:
        self._base = base
        body = base.groups == "body"
        skin = np.unique(base.faces[body & ~base.cavity])
        lining = np.unique(base.faces[body & base.cavity])
        lashes = np.unique(base.faces[np.char.find(base.groups, "eyelashes") > 0])
        template = Eyes.of(base, base.positions)
        self._covers: list[NDArray[np.int32]] = []
        triangles = triangulate(base.faces[body])
        self._near: list[Vertices] = []
        self._inside: list[Vertices] = []
        for side, centre, radius in zip("lr", template.centres, template.radii, strict=True):
            offset = (base.positions - centre) / radius
            reach = np.linalg.norm(offset, axis=1)
            covers = (reach[triangles] < _NEAR + 0.3).all(1) & (offset[triangles, 2] > 0).all(1)
            covers &= (np.abs(offset[triangles, 0]) < 0.7).any(1)
            self._covers.append(triangles[covers])
            outside = np.concatenate([skin, lashes])
            self._near.append(outside[(reach[outside] < _NEAR) & (offset[outside, 2] > 0)])
            eye = np.isin(base.groups, (f"helper-{side}-eye", f"joint-{side}-eye"))
            deep = lining[reach[lining] < 0.97]
            self._inside.append(np.union1d(base.faces[eye].ravel(), deep))
        self._lashes = lashes
        around = np.concatenate(self._near)
        self._roots = around[np.isin(around, skin)]
        _, nearest = cKDTree(base.positions[self._roots]).query(base.positions[lashes], k=4)
        self._root_of = self._roots[nearest]

    def opening(self, positions: FloatArray, side: int, eyes: Eyes) -> tuple[float, float]:
        """How far an eye is open.

        Returns:
            Upper and lower end, in radii above the eye's centre, of what is seen of the eyeball
            from straight ahead between its lids, at the pupil; equal if it is shut.
        """
        centre, radius = eyes.centres[side], eyes.radii[side]
        corners = ((positions[self._covers[side]] - centre) / radius)[..., :2].astype(np.float64)
        a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
        points = _PROBES[:, None]
        inside = [
            (q - p)[:, 0] * (points - p)[..., 1] - (q - p)[:, 1] * (points - p)[..., 0] >= 0
            for p, q in ((a, b), (b, c), (c, a))
        ]
        covered = (inside[0] & inside[1] & inside[2]).any(1).reshape(len(_COLUMNS), -1)
        runs = [_longest_run(_ROWS[~column]) for column in covered if not column.all()]
        high, low = np.mean(runs, axis=0) if runs else (0.0, 0.0)
        return float(high), float(low)

    def closing(self, positions: FloatArray, blinks: tuple[Target, Target]) -> tuple[float, float]:
        """Factors on the units `eyeBlink`, of each side, that just shut the eyes.

        Args:
            positions: (V, 3) neutral base mesh, dm.
            blinks: the units of the left and the right eye.
        """
        eyes = Eyes.of(self._base, positions)
        factors = []
        for side, blink in enumerate(blinks):
            for factor in _FACTORS:
                shut = positions.copy()
                apply_target(shut, blink, float(factor))
                self.clear(shut, eyes, _AHEAD)
                high, low = self.opening(shut, side, eyes)
                if high - low < _SHUT:
                    break
            factors.append(float(factor))
        return factors[0], factors[1]

    def fit(
        self, positions: FloatArray, before: FloatArray, wide: tuple[Target, Target], age: float
    ) -> None:
        """Centres the eyeballs between the lids and opens eyes that are nearly closed, in place.

        positions: (V, 3) neutral base mesh. before: what `positions` were before the skin around
        the eyes was moved in ways that the lashes have not followed. wide: the unit `eyeWide` of
        each side. age: 0 young .. 1 old.
        """
        least = _LEAST_YOUNG + (_LEAST_OLD - _LEAST_YOUNG) * age
        for side in range(2):
            target = wide[side]
            skin = np.isin(target.index, self._roots)
            target = Target(target.index[skin], target.delta[skin])
            # Where the eyeball is changes what is seen of it: twice.
            for _ in range(2):
                eyes = Eyes.of(self._base, positions)
                centre, radius = eyes.centres[side], eyes.radii[side]
                self.clear(positions, eyes, _AHEAD)
                for _ in range(_OPENINGS):
                    high, low = self.opening(positions, side, eyes)
                    if high - low >= least:
                        break
                    apply_target(positions, target, _WIDENING)
                step = np.array([0, ((high + low) / 2 - _MIDDLE) * radius, 0], np.float32)
                self._move_eye(positions, side, centre, radius, step)
        self._carry_lashes(positions, before)

    def keep_distance(self, positions: FloatArray, distances: list[FloatArray]) -> None:
        """Lets the lids glide: keeps vertices at a distance from the eyes' centres, in place.

        Args:
            positions: (V, 3) base mesh, dm.
            distances: for each eye (V,), dm; those further from the lids follow less.
        """
        eyes = Eyes.of(self._base, positions)
        for centre, radius, near, distance in zip(
            eyes.centres, eyes.radii, self._near, distances, strict=True
        ):
            _glide(positions, near, centre, radius, distance[near])

    def _move_eye(
        self, positions: FloatArray, side: int, centre: FloatArray, radius: float, step: FloatArray
    ) -> None:
        near = self._near[side]
        distance = np.linalg.norm(positions[near] - centre, axis=1)
        positions[self._inside[side]] += step
        _glide(positions, near, centre + step, radius, distance)

    def _carry_lashes(self, positions: FloatArray, before: FloatArray) -> None:
        moved = (positions - before)[self._root_of].mean(1)
        positions[self._lashes] = before[self._lashes] + moved

    def clear(self, positions: FloatArray, eyes: Eyes, looks: FloatArray) -> None:
        """Pushes what lies inside of an eyeball out of it, in place.

        looks: (3,) unit vector along which both eyes look, in the head.
        """
        for centre, radius, near in zip(eyes.centres, eyes.radii, self._near, strict=True):
            offset = positions[near] - centre
            distance = np.linalg.norm(offset, axis=1)
            angle = np.degrees(np.arccos(np.clip(offset @ looks / distance, -1, 1)))
            least = radius * _GAP * np.interp(angle, _ANGLES, _RADII).astype(np.float32)
            factor = np.maximum(least / distance, 1)
            positions[near] = centre + offset * factor[:, None]


def _longest_run(rows: FloatArray) -> tuple[float, float]:
    """The highest and the lowest of the most neighbouring `rows` of those given."""
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1.5 * (_ROWS[1] - _ROWS[0])) + 1)
    longest = max(runs, key=len)
    return float(longest[-1]), float(longest[0])


def _glide(
    positions: FloatArray, near: Vertices, centre: FloatArray, radius: float, distance: FloatArray
) -> None:
    """Brings vertices `near` back to their `distance` (N,) from an eye, in place."""
    offset = positions[near] - centre
    now = np.linalg.norm(offset, axis=1)
    share = smoothstep(_NEAR, 1.25, distance / radius)
    factor = 1 + share * (distance / np.maximum(now, 1e-6) - 1)
    positions[near] = centre + offset * factor[:, None]
