"""One moment of an animation."""

from dataclasses import dataclass, field

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray


def _zeros(count: int) -> FloatArray:
    return np.zeros(count, np.float32)


@dataclass(frozen=True, slots=True)
class Pose:
    """What a person does in one frame; the default is the neutral face, straight ahead."""

    expression: dict[str, float] = field(default_factory=dict)
    """Weights of MakeHuman's face units, in 0..1, by name (`jawOpen`, `eyeBlinkLeft`, ...)."""
    head: FloatArray = field(default_factory=lambda: _zeros(3))
    """`(3,)` pitch, yaw and roll in radians against the torso; positive looks down, to +x, and
    tips towards -x."""
    torso: FloatArray = field(default_factory=lambda: _zeros(3))
    """`(3,)` likewise, about a point far below the frame."""
    gaze: FloatArray = field(default_factory=lambda: _zeros(2))
    """`(2,)` pitch and yaw of the eyes in the head, radians."""
