"""A posable person: what is drawn of one identity, and where it is in each pose."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.animation.pose import Pose
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack
from vcam_relight.pipeline.lightstage.assets.landmarks import load_correspondence
from vcam_relight.pipeline.lightstage.core.scene import Part, Posed
from vcam_relight.pipeline.lightstage.person.eyes import Eyes, Lids
from vcam_relight.pipeline.lightstage.person.identity import Identity
from vcam_relight.pipeline.lightstage.person.parts import RiggedPart, build
from vcam_relight.pipeline.lightstage.person.shape import neutral_base
from vcam_relight.pipeline.lightstage.person.skeleton import HEAD, Skeleton, euler
from vcam_relight.pipeline.lightstage.wear.accessories import HeadShape


class Figure:
    """One person.

    Args:
        pack: the assets.
        identity: who it is.
        levels: subdivision levels of the skin.
    """

    def __init__(self, pack: AssetPack, identity: Identity, levels: int = 0) -> None:
        self.identity = identity
        base = pack.base
        self._lids = Lids(base)
        neutral = neutral_base(pack, identity, self._lids)
        self._eyes = Eyes.of(base, neutral)
        blinks = pack.face_units["eyeBlinkLeft"], pack.face_units["eyeBlinkRight"]
        left, right = self._lids.closing(neutral, blinks)
        self._strength = {"eyeBlinkLeft": left, "eyeBlinkRight": right}
        self._neutral = neutral
        self._base_bones = base.bones
        self._origin = self._eyes.centres.mean(0)
        self._skeleton = Skeleton(base, neutral)
        self._units = _Units(pack)
        self._correspondence = load_correspondence()
        self.head_shape = HeadShape(
            neutral, base.faces, base.groups, base.uvs, base.uv_faces, self._eyes.centres
        )
        self._rigged = build(pack, identity, self.head_shape, self._eyes, levels)
        self.parts: tuple[Part, ...] = tuple(rigged.part for rigged in self._rigged)
        """What is drawn, the skin first."""
        self._normals = [_Normals(rigged) for rigged in self._rigged]

    def base(self, pose: Pose) -> FloatArray:
        """World positions `(19158, 3)` float32 in dm of the base mesh, not refined.

        Vertices that are never seen keep the template's shape.
        """
        return _skinned(self._expressed(pose), self._base_bones, self._bones(pose))[0]

    def pose(self, pose: Pose) -> Posed:
        """Poses the person: where every part is."""
        expressed, bones = self._expressed(pose), self._bones(pose)
        change = expressed - self._neutral
        positions: list[FloatArray] = []
        normals: list[FloatArray] = []
        for rigged, surface in zip(self._rigged, self._normals, strict=True):
            coarse = rigged.rest
            if rigged.follow is not None:
                coarse = coarse + rigged.follow @ change
            if rigged.eyes:
                coarse = self._turned(coarse, pose.gaze)
            placed, turns = _skinned(coarse, rigged.bones, bones)
            if rigged.refine is not None:
                placed = rigged.refine @ placed
            positions.append(placed)
            if rigged.normals is not None:
                normals.append(_unit(np.einsum("vij,vj->vi", turns, rigged.normals)))
            elif rigged.skin is not None:
                normals.append(normals[0][rigged.skin])
            else:
                normals.append(surface.of(placed))
        head = np.eye(4, dtype=np.float32)
        head[:3] = bones[HEAD]
        head[:3, 3] += bones[HEAD, :, :3] @ self._origin
        base, _ = _skinned(expressed, self._base_bones, bones)
        return Posed(tuple(positions), tuple(normals), head, self._correspondence.on(base))

    def _expressed(self, pose: Pose) -> FloatArray:
        """The base mesh with its expression, in MakeHuman's axes."""
        base = self._neutral.copy()
        self._units.add(
            base,
            {name: weight * self._strength.get(name, 1.0)
             for name, weight in pose.expression.items()},
        )  # fmt: skip
        self._lids.clear(base, self._eyes, _eye_turn(pose.gaze)[:, 2])
        return base

    def _bones(self, pose: Pose) -> FloatArray:
        """`(BONE_COUNT, 3, 4)` from MakeHuman's axes to the world."""
        bones = self._skeleton.transforms(np.asarray(pose.head), np.asarray(pose.torso))
        bones[:, :, 3] -= self._origin
        return bones.astype(np.float32)

    def _turned(self, eyes: FloatArray, gaze: FloatArray) -> FloatArray:
        turn = _eye_turn(gaze)
        turned = eyes.copy()
        for left, centre in zip((True, False), self._eyes.centres, strict=True):
            mine = (eyes[:, 0] > self._origin[0]) == left
            turned[mine] = (eyes[mine] - centre) @ turn.T + centre
        return turned


class _Units:
    """All expressions as one matrix over the vertices that any of them moves."""

    def __init__(self, pack: AssetPack) -> None:
        units = pack.face_units
        self._row = {name: row for row, name in enumerate(units)}
        self._vertices = np.unique(np.concatenate([unit.index for unit in units.values()]))
        self._deltas = np.zeros((len(units), len(self._vertices), 3), np.float32)
        for row, unit in enumerate(units.values()):
            self._deltas[row, np.searchsorted(self._vertices, unit.index)] = unit.delta

    def add(self, positions: FloatArray, expression: dict[str, float]) -> None:
        """Adds the weighted units to base mesh `positions` (V, 3), in place.

        Raises:
            KeyError: there is no such unit.
        """
        if expression:
            rows = [self._row[name] for name in expression]
            weights = np.array(list(expression.values()), np.float32)
            positions[self._vertices] += np.tensordot(weights, self._deltas[rows], axes=1)


class _Normals:
    """Area-weighted vertex normals by one sparse product."""

    def __init__(self, rigged: RiggedPart) -> None:
        self._triangles: NDArray[np.int32] = rigged.triangles
        count = len(self._triangles)
        size = rigged.rest.shape[0] if rigged.refine is None else rigged.refine.shape[0]
        self._sum = sparse.csr_matrix(
            (np.ones(3 * count, np.float32), (self._triangles.ravel(), np.arange(3 * count) // 3)),
            shape=(size, count),
        )

    def of(self, positions: FloatArray) -> FloatArray:
        """Unit normals (V, 3) of `positions` (V, 3)."""
        a, b, c = (positions[self._triangles[:, k]] for k in range(3))
        return _unit(self._sum @ np.cross(b - a, c - a))


def _eye_turn(gaze: FloatArray) -> FloatArray:
    result: FloatArray = euler(float(gaze[0]), float(gaze[1]), 0.0).astype(np.float32)
    return result


def _skinned(
    positions: FloatArray, weights: FloatArray, bones: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Linear blend skinning: positions (V, 3), and the blended linear maps (V, 3, 3)."""
    blended = (weights @ bones.reshape(len(bones), 12)).reshape(-1, 3, 4)
    turns = blended[:, :, :3]
    return np.einsum("vij,vj->vi", turns, positions) + blended[:, :, 3], turns


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.sqrt(np.einsum("vc,vc->v", vectors, vectors))[:, None]
    result: FloatArray = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
    return result
