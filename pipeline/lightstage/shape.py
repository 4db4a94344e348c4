"""One person's neutral base mesh, and eyes that fit their lids."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.lightstage.identity import Identity
from pipeline.lightstage.makehuman import FIRST_HELPER, apply_target
from pipeline.lightstage.pack import BaseMesh, Pack
from pipeline.lightstage.regions import smoothstep
from pipeline.lightstage.skeleton import joint
from pipeline.types import Floats

_BUILDS = ("min", "average", "max")
# Profile of MakeHuman's eyeball with its cornea: degrees from the gaze, radii of the sphere.
_ANGLES = (0.0, 9.0, 15.0, 21.0, 30.0)
_RADII = (1.080, 1.066, 1.045, 1.015, 1.0)
# Lids stay this far outside of the eyeball, and what is further than `_NEAR` radii is no lid.
_GAP, _NEAR = 1.012, 1.7


def neutral_base(pack: Pack, identity: Identity) -> Floats:
    """Base mesh positions `(19158, 3)` float32 in dm of a person who does nothing."""
    positions = pack.base.positions.copy()
    for name, weight in _macro_weights(identity).items():
        if name in pack.targets:
            apply_target(positions, pack.targets[name], weight)
    for name, weight in identity.details:
        apply_target(positions, pack.targets[name], weight)
    before = Eyes.of(pack.base, positions)
    kept = [np.linalg.norm(positions - centre, axis=1) for centre in before.centres]
    coefficients = np.array(identity.modes, np.float32)
    moved = np.tensordot(coefficients, pack.modes.deltas, axes=1)
    positions[pack.modes.index] += moved
    # The lids glide over the eyeballs wherever the modes move them.
    after = Eyes.of(pack.base, positions)
    for centre, radius, distance in zip(after.centres, after.radii, kept, strict=True):
        offset = positions[:FIRST_HELPER] - centre
        now = np.linalg.norm(offset, axis=1)
        share = smoothstep(1.7, 1.25, distance[:FIRST_HELPER] / radius)
        factor = 1 + share * (distance[:FIRST_HELPER] / np.maximum(now, 1e-6) - 1)
        positions[:FIRST_HELPER] = centre + offset * factor[:, None]
    return positions


def _macro_weights(identity: Identity) -> dict[str, float]:
    """MakeHuman's macro targets: the product of each trait's share."""
    weights = {}
    genders = (("male", identity.gender), ("female", 1 - identity.gender))
    ages = (("old", identity.age), ("young", 1 - identity.age))
    races = zip(("caucasian", "african", "asian"), identity.ancestry, strict=True)
    shares = {name: share for name, share in races}
    for gender, a in genders:
        for age, b in ages:
            for race, c in shares.items():
                weights[f"macrodetails/{race}-{gender}-{age}"] = a * b * c
            for muscle, m in zip(_BUILDS, _three(identity.muscle), strict=True):
                for weight, w in zip(_BUILDS, _three(identity.weight), strict=True):
                    name = f"macrodetails/universal-{gender}-{age}-{muscle}muscle-{weight}weight"
                    weights[name] = a * b * m * w
    return {name: weight for name, weight in weights.items() if weight > 0}


def _three(value: float) -> tuple[float, float, float]:
    """Shares of least, average and most for a value in 0..1."""
    return max(0.0, 1 - 2 * value), 1 - abs(2 * value - 1), max(0.0, 2 * value - 1)


@dataclass(frozen=True, slots=True)
class Eyes:
    """The eyeballs: spheres with a cornea before them."""

    centres: Floats
    """`(2, 3)` of the left (+x) and the right one, dm."""
    radii: Floats
    """`(2,)` dm."""

    @staticmethod
    def of(base: BaseMesh, positions: Floats) -> "Eyes":
        """The eyeballs of base mesh `positions` (V, 3)."""
        centres, radii = [], []
        for side in "lr":
            centre = joint(base, positions, f"joint-{side}-eye")
            ball = np.unique(base.faces[base.groups == f"helper-{side}-eye"])
            centres.append(centre)
            radii.append(np.linalg.norm(positions[ball] - centre, axis=1).mean())
        return Eyes(np.array(centres, np.float32), np.array(radii, np.float32))


class Lids:
    """Keeps the skin and lashes around the eyes outside of the eyeballs."""

    def __init__(self, base: BaseMesh, neutral: Floats) -> None:
        self._eyes = Eyes.of(base, neutral)
        skin = np.unique(base.faces[(base.groups == "body") & ~base.cavity])
        lashes = np.unique(base.faces[np.char.find(base.groups, "eyelashes") > 0])
        outside = np.concatenate([skin, lashes])
        self._near: list[NDArray[np.int64]] = []
        for centre, radius in zip(self._eyes.centres, self._eyes.radii, strict=True):
            offset = neutral[outside] - centre
            near = np.linalg.norm(offset, axis=1) < _NEAR * radius
            self._near.append(outside[near & (offset[:, 2] > 0)])

    def clear(self, positions: Floats, looks: Floats) -> None:
        """Pushes what lies inside of an eyeball out of it, in place.

        looks: (3,) unit vector along which both eyes look, in the head.
        """
        for centre, radius, near in zip(
            self._eyes.centres, self._eyes.radii, self._near, strict=True
        ):
            offset = positions[near] - centre
            distance = np.linalg.norm(offset, axis=1)
            angle = np.degrees(np.arccos(np.clip(offset @ looks / distance, -1, 1)))
            least = radius * _GAP * np.interp(angle, _ANGLES, _RADII).astype(np.float32)
            factor = np.maximum(least / distance, 1)
            positions[near] = centre + offset * factor[:, None]
