"""One person's neutral base mesh."""

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack
from vcam_relight.pipeline.lightstage.assets.makehuman import apply_target
from vcam_relight.pipeline.lightstage.person.eyes import Eyes, Lids
from vcam_relight.pipeline.lightstage.person.identity import Identity

_BUILDS = ("min", "average", "max")


def neutral_base(pack: AssetPack, identity: Identity, lids: Lids) -> FloatArray:
    """Base mesh positions `(19158, 3)` float32 in dm of a person who does nothing."""
    positions = pack.base.positions.copy()
    for name, weight in _macro_weights(identity).items():
        if name in pack.targets:
            apply_target(positions, pack.targets[name], weight)
    for name, weight in identity.details:
        apply_target(positions, pack.targets[name], weight)
    before = positions.copy()
    distances = [
        np.linalg.norm(positions - centre, axis=1)
        for centre in Eyes.of(pack.base, positions).centres
    ]
    coefficients = np.array(identity.modes, np.float32)
    positions[pack.modes.index] += np.tensordot(coefficients, pack.modes.deltas, axes=1)
    lids.keep_distance(positions, distances)
    wide = pack.face_units["eyeWideLeft"], pack.face_units["eyeWideRight"]
    lids.fit(positions, before, wide, identity.age)
    lids.clear(positions, Eyes.of(pack.base, positions), np.array([0, 0, 1], np.float32))
    return positions


def _macro_weights(identity: Identity) -> dict[str, float]:
    """MakeHuman's macro targets: the product of each trait's share."""
    weights = {}
    races = dict(zip(("caucasian", "african", "asian"), identity.ancestry, strict=True))
    for gender, a in (("male", identity.gender), ("female", 1 - identity.gender)):
        for age, b in (("old", identity.age), ("young", 1 - identity.age)):
            for race, c in races.items():
                weights[f"macrodetails/{race}-{gender}-{age}"] = a * b * c
            for muscle, m in zip(_BUILDS, _three(identity.muscle), strict=True):
                for weight, w in zip(_BUILDS, _three(identity.weight), strict=True):
                    name = f"macrodetails/universal-{gender}-{age}-{muscle}muscle-{weight}weight"
                    weights[name] = a * b * m * w
    return {name: weight for name, weight in weights.items() if weight > 0}


def _three(value: float) -> tuple[float, float, float]:
    """Shares of least, average and most for a value in 0..1."""
    return max(0.0, 1 - 2 * value), 1 - abs(2 * value - 1), max(0.0, 2 * value - 1)
