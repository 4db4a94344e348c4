"""A reduced upper-body skeleton and linear blend skinning."""

import json
from pathlib import Path

import numpy as np

from vcam_relight.pipeline.lightstage.core.wavefront import Grouped

TORSO, SHOULDER_L, SHOULDER_R, ARM_L, ARM_R, NECK_1, NECK_2, NECK_3, HEAD = range(9)
BONE_COUNT = 9

_KEPT = {
    "shoulder01.L": SHOULDER_L,
    "shoulder01.R": SHOULDER_R,
    "upperarm01.L": ARM_L,
    "upperarm01.R": ARM_R,
    "neck01": NECK_1,
    "neck02": NECK_2,
    "neck03": NECK_3,
    "head": HEAD,
}
# Share of the head's rotation that each vertebra of the chain takes.
_CHAIN = ((NECK_1, 0.12), (NECK_2, 0.2), (NECK_3, 0.28), (HEAD, 0.4))
# Share of the arm's lowering taken by the shoulder blade.
_SHOULDER_SHARE = 0.2


def read_weights(rig_folder: Path, vertex_count: int) -> np.ndarray:
    """Skinning weights (V, BONE_COUNT) of the base mesh; bones not kept go to their ancestor."""
    rig = json.loads((rig_folder / "rig.default.json").read_text())
    bones = rig.get("bones", rig)
    table = json.loads((rig_folder / "weights.default.json").read_text())["weights"]
    weights = np.zeros((vertex_count, BONE_COUNT))
    for name, pairs in table.items():
        bone = name
        while bone and bone not in _KEPT:
            bone = bones[bone]["parent"] if bone in bones else ""
        for vertex, weight in pairs:
            weights[int(vertex), _KEPT.get(bone, TORSO)] += weight
    total = weights.sum(1)
    weights[total == 0, TORSO] = 1
    shares: np.ndarray = weights / np.where(total == 0, 1, total)[:, None]
    return shares


def joint(mesh: Grouped, positions: np.ndarray, name: str) -> np.ndarray:
    """Centre (3,) of the joint helper cube `name` on base mesh `positions`."""
    centre: np.ndarray = positions[np.unique(mesh.faces[mesh.groups == name])].mean(0)
    return centre


class Skeleton:
    """Joint positions of one person, and the bone transforms of a pose."""

    def __init__(self, mesh: Grouped, neutral: np.ndarray) -> None:
        neck, head = joint(mesh, neutral, "joint-neck"), joint(mesh, neutral, "joint-head")
        self._pivots = {
            bone: neck + (head - neck) * step / 3
            for step, bone in enumerate((NECK_1, NECK_2, NECK_3, HEAD))
        }
        self._arms = []
        for side, shoulder, arm in (("l", SHOULDER_L, ARM_L), ("r", SHOULDER_R, ARM_R)):
            blade = joint(mesh, neutral, f"joint-{side}-scapula")
            top = joint(mesh, neutral, f"joint-{side}-shoulder")
            elbow = joint(mesh, neutral, f"joint-{side}-elbow")
            sign = 1.0 if side == "l" else -1.0
            along = (elbow - top) / np.linalg.norm(elbow - top)
            # The arms rest on a desk: down, a little out and forward.
            angle = np.arctan2(-along[1], sign * along[0])
            self._arms.append((shoulder, arm, blade, top, -sign * (np.radians(80) - angle)))

    def transforms(self, head: np.ndarray, torso: np.ndarray) -> np.ndarray:
        """Bone transforms (BONE_COUNT, 3, 4) of a pose.

        head, torso: (3,) pitch, yaw and roll in radians; the head's are
        relative to the torso, which leans about a point far below the frame.
        """
        root = _about(np.array([0.0, -2.0, 0.0]), euler(*torso))
        bones = np.repeat(root[None], BONE_COUNT, axis=0)
        chain = root
        for bone, share in _CHAIN:
            chain = chain @ _about(self._pivots[bone], euler(*(head * share)))
            bones[bone] = chain
        for shoulder, arm, blade, top, angle in self._arms:
            bones[shoulder] = root @ _about(blade, euler(0, 0, _SHOULDER_SHARE * angle))
            bones[arm] = bones[shoulder] @ _about(
                top, euler(-0.12, 0, (1 - _SHOULDER_SHARE) * angle)
            )
        return bones[:, :3]


def euler(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Rotation (3, 3): roll about z, then pitch about x, then yaw about y; radians."""
    cx, cy, cz = np.cos([pitch, yaw, roll])
    sx, sy, sz = np.sin([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: np.ndarray = about_y @ about_x @ about_z
    return rotation


def skin(positions: np.ndarray, weights: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """Linear blend skinning of `positions` (V, 3) by `weights` (V, B) and `bones` (B, 3, 4)."""
    blended = (weights @ bones.reshape(len(bones), 12)).reshape(-1, 3, 4)
    moved: np.ndarray = np.einsum("vij,vj->vi", blended[:, :, :3], positions) + blended[:, :, 3]
    return moved


def vertex_normals(positions: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3)."""
    a, b, c = (positions[triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(positions)
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(
                triangles[:, corner], faces[:, axis], minlength=len(positions)
            )
    unit: np.ndarray = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return unit


def _about(pivot: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Rigid transform (4, 4) that rotates about `pivot`."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = pivot - rotation @ pivot
    return matrix
