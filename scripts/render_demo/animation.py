"""The animation: head motion, gaze, blinks and speech as functions that repeat with the clip."""

import numpy as np

from vcam_relight.pipeline.lightstage.animation.animation import VISEMES, blink, follow_gaze
from vcam_relight.pipeline.lightstage.animation.pose import Pose

_SEED = 7

# When the person speaks, as shares of the clip.
_PHRASES = ((0.08, 0.36), (0.44, 0.60), (0.66, 0.90))
_SYLLABLES_PER_SECOND = 4.6
_BLINKS = (0.05, 0.39, 0.63, 0.93)


class DemoAnimation:
    """Poses of a clip of `duration` seconds that loops seamlessly."""

    def __init__(self, duration: float) -> None:
        self._duration = duration
        rng = np.random.default_rng(_SEED)
        self._syllables: list[tuple[float, float, dict[str, float]]] = []
        for start, end in _PHRASES:
            count = int((end - start) * duration * _SYLLABLES_PER_SECOND)
            times = np.linspace(start, end, count) * duration
            for time in times + rng.normal(0, 0.025, count):
                viseme = VISEMES[rng.integers(len(VISEMES))]
                self._syllables.append((float(time), float(rng.uniform(0.65, 1.1)), viseme))
        self._saccades = rng.normal(0, np.radians(1.6), (16, 2))

    def pose(self, time: float) -> Pose:
        """The pose at `time` seconds."""
        phase = 2 * np.pi * time / self._duration
        yaw = 22.0 * np.sin(phase) + 4.0 * np.sin(2 * phase + 0.3) + 1.2 * np.sin(5 * phase)
        pitch = 1.0 + 4.6 * np.sin(2 * phase + 2.2) + 2.2 * np.sin(3 * phase + 0.4)
        pitch += 0.7 * np.sin(7 * phase + 1.0)
        roll = 3.2 * np.sin(phase + 2.6) + 1.4 * np.sin(3 * phase)
        head = np.radians([pitch, yaw, roll])
        torso = np.radians(
            [0.5 * np.sin(3 * phase), 1.5 * np.sin(phase - 0.5), 0.8 * np.sin(2 * phase + 0.8)]
        )
        gaze = self._gaze(time, head + torso)
        return Pose(self._expression(time, gaze), head, torso, gaze)

    def _gaze(self, time: float, facing: np.ndarray) -> np.ndarray:
        """Eye pitch and yaw in the head: on the camera, with small jumps."""
        slots = len(self._saccades)
        place = time / self._duration * slots
        slot, inside = int(place) % slots, place % 1
        blend = np.clip(inside / 0.08, 0, 1)
        jump = self._saccades[slot - 1] * (1 - blend) + self._saccades[slot] * blend
        return np.clip(-0.85 * facing[:2] + jump, -0.42, 0.42)

    def _expression(self, time: float, gaze: np.ndarray) -> dict[str, float]:
        phase = 2 * np.pi * time / self._duration
        smile = 0.28 + 0.1 * np.cos(phase)
        brow = max(0.0, 0.16 + 0.2 * np.sin(2 * phase + 1.0) + 0.12 * np.sin(5 * phase))
        weights = {"browInnerUp": 0.15 + 0.6 * brow}
        closed = max(blink(self._distance(time, share * self._duration)) for share in _BLINKS)
        weights |= follow_gaze(float(gaze[0]), closed)
        for side in ("Left", "Right"):
            weights[f"mouthSmile{side}"] = smile
            weights[f"cheekSquint{side}"] = smile
            weights[f"browOuterUp{side}"] = 0.1 + 0.5 * brow
            weights[f"eyeWide{side}"] += 0.12 * (1 - closed)
        for centre, strength, viseme in self._syllables:
            bump = strength * np.exp(-0.5 * (self._distance(time, centre) / 0.065) ** 2)
            for name, weight in viseme.items():
                weights[name] = min(weights.get(name, 0.0) + bump * weight, 1.0)
        return weights

    def _distance(self, time: float, centre: float) -> float:
        """Signed seconds from `centre` to `time` in the repeating clip."""
        half = self._duration / 2
        return (time - centre + half) % self._duration - half
