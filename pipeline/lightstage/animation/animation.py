"""Animation: head motion, gaze, blinks and speech as exact functions of time, from a seed."""

import math
from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.lightstage.animation.pose import Pose

RATE = 30.0
"""Frames per second."""

VISEMES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.34, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2},
    {"jawOpen": 0.26, "mouthFunnel": 0.55},
    {"jawOpen": 0.08, "mouthPucker": 0.55},
    {
        "jawOpen": 0.2,
        "mouthStretchLeft": 0.3,
        "mouthStretchRight": 0.3,
        "mouthUpperUpLeft": 0.15,
        "mouthUpperUpRight": 0.15,
    },
    {"mouthPressLeft": 0.35, "mouthPressRight": 0.35, "mouthRollLower": 0.25},
    {"jawOpen": 0.1, "mouthRollLower": 0.4, "mouthUpperUpLeft": 0.15, "mouthUpperUpRight": 0.15},
)
"""Mouth shapes of speech as weights of face units."""

_SYLLABLES_PER_SECOND = 4.6
_SYLLABLE_WIDTH = 0.065  # s
_CLOSING, _OPENING = 0.05, 0.085  # s, of a blink
_SACCADE = 0.05  # s
# How the head strays about where it is turned to, degrees: pitch, yaw, roll; and how fast, Hz.
_HEAD_SWAY = (4.0, 9.0, 2.5)
_TORSO_SWAY = (1.0, 2.0, 1.2)
_SWAY_RATES = (0.23, 0.55, 1.1)
# Angles that people in meetings turn to, degrees: mostly near the camera, sometimes far aside.
_TURN = (6.0, 16.0, 3.0)
_FAR_SHARE, _FAR_YAW = 0.15, 45.0
_MOST = (24.0, 55.0, 15.0)
_MOST_GAZE = math.radians(24)


def blink(since: float) -> float:
    """How closed the lids are, 0..1, `since` seconds after they were shut.

    A blink closes fast and opens more slowly.
    """
    width = _CLOSING if since < 0 else _OPENING
    return math.exp(-((abs(since) / width) ** 2.5))


def follow_gaze(pitch: float, closed: float) -> dict[str, float]:
    """Face units that let the lids follow eyes turned by `pitch` radians."""
    weights = {}
    for side in ("Left", "Right"):
        weights[f"eyeBlink{side}"] = closed
        weights[f"eyeLookDown{side}"] = (1 - closed) * max(0.0, pitch / 0.5)
        # The unit `eyeLookUp` alone lets the upper lid hide the iris.
        weights[f"eyeLookUp{side}"] = (1 - closed) * max(0.0, -pitch / 1.0)
        weights[f"eyeWide{side}"] = (1 - closed) * max(0.0, -pitch / 0.35)
    return weights


@dataclass(frozen=True, slots=True)
class _Sway:
    """A smooth random function: three sines for each of three axes."""

    amplitudes: FloatArray  # (3 rates, 3 axes), radians
    phases: FloatArray

    @classmethod
    def sample(cls, rng: np.random.Generator, size: tuple[float, float, float]) -> "_Sway":
        falloff = np.array([[0.7], [0.3], [0.08]])
        amplitudes = np.radians(size) * falloff * rng.uniform(0.4, 1.3, (3, 3))
        phases = rng.uniform(0, 2 * np.pi, (3, 3))
        return cls(amplitudes.astype(np.float32), phases.astype(np.float32))

    def at(self, time: float) -> FloatArray:
        angle = 2 * np.pi * time * np.array(_SWAY_RATES)[:, None] + self.phases
        result: FloatArray = (self.amplitudes * np.sin(angle)).sum(0).astype(np.float32)
        return result


class Animation:
    """The motion of one person before a webcam for a few moments.

    Args:
        seed: everything follows from it.
        frames: length; poses beyond it go on smoothly.
        rate: frames per second.
    """

    def __init__(self, seed: int, frames: int, rate: float = RATE) -> None:
        self.frames = frames
        self.rate = rate
        rng = np.random.default_rng([seed, 0x9E37])
        duration = frames / rate
        turn = rng.normal(0, _TURN)
        if rng.random() < _FAR_SHARE:
            turn[1] = rng.choice([-1, 1]) * rng.uniform(25, _FAR_YAW)
        self._turn = np.radians(np.clip(turn, -np.array(_MOST), _MOST))
        self._head = _Sway.sample(rng, _HEAD_SWAY)
        self._torso = _Sway.sample(rng, _TORSO_SWAY)
        self._smile = float(rng.uniform(0, 0.7)) if rng.random() < 0.5 else 0.0
        self._brow = float(rng.uniform(-0.5, 0.8))
        self._asymmetry = rng.uniform(0.7, 1.0, 2)
        self._blinks = self._times(rng, duration, rng.uniform(0.25, 0.8))
        self._syllables: list[tuple[float, float, dict[str, float]]] = []
        if rng.random() < 0.6:
            for time in self._times(rng, duration, _SYLLABLES_PER_SECOND):
                viseme = VISEMES[int(rng.integers(len(VISEMES)))]
                self._syllables.append((time, float(rng.uniform(0.5, 1.2)), viseme))
        self._saccades = [
            (time, rng.normal(0, np.radians(3.0), 2)) for time in self._times(rng, duration, 1.5)
        ]
        # Most look at the camera or the screen below it, some elsewhere.
        self._look = np.radians(rng.normal((rng.uniform(-1, 6), 0.0), 2.5))

    @staticmethod
    def _times(rng: np.random.Generator, duration: float, rate: float) -> list[float]:
        """About `rate` moments a second, from a little before the clip to a little after."""
        times, time = [], -0.3 + float(rng.uniform(0, 1 / rate))
        while time < duration + 0.3:
            times.append(time)
            time += float(rng.uniform(0.6, 1.4)) / rate
        return times

    def pose(self, index: int) -> Pose:
        """The pose of frame `index`."""
        time = index / self.rate
        head = np.clip(self._turn + self._head.at(time), -np.radians(_MOST), np.radians(_MOST))
        torso = self._torso.at(time)
        torso[1] += 0.25 * self._turn[1]
        gaze = self._gaze(time, head + torso)
        return Pose(
            self._expression(time, float(gaze[0])),
            head.astype(np.float32),
            torso.astype(np.float32),
            gaze,
        )

    def _gaze(self, time: float, facing: FloatArray) -> FloatArray:
        """On the camera, whatever the head does, with small jumps."""
        jump = np.zeros(2)
        for start, target in self._saccades:
            jump = jump + (target - jump) * smoothstep(start, start + _SACCADE, np.asarray(time))
        gaze = -0.85 * facing[:2] + self._look + jump
        result: FloatArray = np.clip(gaze, -_MOST_GAZE, _MOST_GAZE).astype(np.float32)
        return result

    def _expression(self, time: float, gaze_pitch: float) -> dict[str, float]:
        slow = math.sin(2 * math.pi * 0.3 * time + self._brow * 9)
        closed = max((blink(time - shut) for shut in self._blinks), default=0.0)
        weights = follow_gaze(gaze_pitch, closed)
        smile = self._smile * (1 + 0.3 * slow)
        brow = self._brow * (1 + 0.4 * slow)
        weights["browInnerUp"] = max(0.0, brow) * 0.8
        for side, share in zip(("Left", "Right"), self._asymmetry, strict=True):
            weights[f"mouthSmile{side}"] = smile * share
            weights[f"cheekSquint{side}"] = smile * share
            weights[f"browOuterUp{side}"] = max(0.0, brow) * 0.6 * share
            weights[f"browDown{side}"] = max(0.0, -brow) * share
        for centre, strength, viseme in self._syllables:
            bump = strength * math.exp(-0.5 * ((time - centre) / _SYLLABLE_WIDTH) ** 2)
            if bump > 1e-4:
                for name, weight in viseme.items():
                    weights[name] = min(weights.get(name, 0.0) + bump * weight, 1.0)
        return {name: float(weight) for name, weight in weights.items() if weight > 1e-4}
