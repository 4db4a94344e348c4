"""Light transport of every frame of an animation, from that of a few traced moments.

Heads move little in half a second, so transport is traced at key frames and mixed between, with
the jaw up and the lids open. Mouths and lids are faster: one more trace, with the jaw down and the
lids shut, is mixed in around them by how far they have moved; else a mouth that opens between two
key frames would be pitch dark.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.light_map import LightMap
from vcam_relight.pipeline.lightstage.animation.pose import Pose
from vcam_relight.pipeline.lightstage.core.scene import Label, Part, Posed
from vcam_relight.pipeline.lightstage.person.figure import Figure
from vcam_relight.pipeline.lightstage.render.transfer import Lit, Transfer, trace

_KEY_STEP = 16
"""Frames between key frames, about."""
_LIPS = (0, 13, 14, 17, 37, 39, 61, 78, 81, 84, 87, 91, 146, 178, 181, 191, 267, 269, 291, 308, 311,
         314, 317, 321, 375, 402, 405, 415)  # fmt: skip
_LIDS = (33, 133, 144, 145, 153, 157, 158, 159, 160, 163, 263, 362, 373, 374, 380, 384, 385, 386,
         387, 390)  # fmt: skip
"""Landmarks in the face mesh."""
_LIPS_REACH, _LIDS_REACH = 0.3, 0.15
"""dm from them within which the skin's transport changes with the expression."""
_LEAST = 0.05
"""Changes of jaw or lids smaller than this need no trace of their own."""


class ClipTransport:
    """For one figure.

    Args:
        figure: who.
        poses: of all frames.
        posed: the figure in each of them.
    """

    def __init__(self, figure: Figure, poses: Sequence[Pose], posed: Sequence[Posed]) -> None:
        self._figure = figure
        self._poses = poses
        self._posed = posed
        count = 1 if len(poses) == 1 else 1 + max(1, round((len(poses) - 1) / _KEY_STEP))
        self._keys = np.round(np.linspace(0, len(poses) - 1, count)).astype(int)
        self._traced: dict[int, Transfer] = {}
        self._jaw = np.array([pose.expression.get("jawOpen", 0.0) for pose in poses])
        self._lids = np.array([pose.expression.get("eyeBlinkLeft", 0.0) for pose in poses])
        self._moved = max(np.ptp(self._jaw), np.ptp(self._lids)) > _LEAST
        if self._moved:
            self._trace_moved()

    def light(self, index: int, lights: Sequence[LightMap]) -> tuple[Lit, ...]:
        """RenderedFrame `index` under some lightings; quickest in order."""
        after = int(np.searchsorted(self._keys, index))
        end = int(self._keys[after])
        start = end if end == index else int(self._keys[after - 1])
        self._traced = {key: t for key, t in self._traced.items() if key >= start}
        transfer = self._at(start)
        if start != end:
            transfer = transfer.mixed(self._at(end), (index - start) / (end - start))
        if self._moved:
            share = self._mouth * _progress(self._jaw, index)
            share += self._eyes * _progress(self._lids, index)
            transfer = _patched(transfer, self._other, np.minimum(share, 1))
        return transfer.light(self._posed[index], lights)

    def _at(self, key: int) -> Transfer:
        if key not in self._traced:
            posed = self._posed_with(key, self._jaw.min(), self._lids.min())
            self._traced[key] = trace(self._figure.parts, posed)
        return self._traced[key]

    def _posed_with(self, index: int, jaw: float, lids: float) -> Posed:
        """A frame's pose with another opening of the jaw and closing of the lids."""
        pose = self._poses[index]
        changed = {"jawOpen": jaw, "eyeBlinkLeft": lids, "eyeBlinkRight": lids}
        return self._figure.pose(replace(pose, expression={**pose.expression, **changed}))

    def _trace_moved(self) -> None:
        """The transport with the jaw furthest down and the lids shut, and where it matters."""
        parts = self._figure.parts
        posed = self._posed_with(len(self._poses) // 2, self._jaw.max(), self._lids.max())
        self._other = trace(parts, posed)
        self._mouth = _around(parts, posed, _LIPS, _LIPS_REACH, Label.MOUTH)
        self._eyes = _around(parts, posed, _LIDS, _LIDS_REACH, Label.BROWS)


def _progress(weights: NDArray[np.float64], index: int) -> np.float32:
    """From the least to the greatest of the weights, 0..1."""
    return np.float32((weights[index] - weights.min()) / max(float(np.ptp(weights)), _LEAST))


def _around(
    parts: Sequence[Part], posed: Posed, landmarks: Sequence[int], reach: float, also: Label
) -> FloatArray:
    """`(V of all parts,)` blend weights of what moves around some landmarks.

    On the skin 1 within `reach` dm of the landmarks, falling to 0 at twice that; inside the mouth
    1.
    """
    tree = cKDTree(posed.landmarks[list(landmarks)])
    shares = []
    for part, positions in zip(parts, posed.positions, strict=True):
        if part.label == Label.MOUTH:
            shares.append(np.full(len(positions), float(also == Label.MOUTH)))
        elif part.label in (Label.SKIN, also):
            distance, _ = tree.query(positions, distance_upper_bound=2 * reach)
            shares.append(np.clip(2 - distance / reach, 0, 1))
        else:
            shares.append(np.zeros(len(positions)))
    return np.concatenate(shares).astype(np.float32)


def _patched(transfer: Transfer, other: Transfer, share: FloatArray) -> Transfer:
    """The transfer with that of another expression mixed in by `share`, `(V of all parts,)`."""
    if share.max() < _LEAST:
        return transfer
    ends = np.cumsum([len(visible) for visible in transfer.visible])[:-1]
    visible = []
    for mine, theirs, part in zip(
        transfer.visible, other.visible, np.split(share, ends), strict=True
    ):
        rows = np.flatnonzero(part)
        mixed = mine.copy()
        weight = part[rows, None]
        mixed[rows] = np.round(mine[rows] * (1 - weight) + theirs[rows] * weight)
        visible.append(mixed)
    rest, patch = sparse.diags_array(1 - share), sparse.diags_array(share)
    gathers = [(weight, (rest @ matrix).tocsr()) for weight, matrix in transfer.gathers]
    gathers += [(weight, (patch @ matrix).tocsr()) for weight, matrix in other.gathers]
    return Transfer(tuple(visible), transfer.albedo, tuple(gathers))
