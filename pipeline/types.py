"""The types that cross module borders in the pipeline."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""`(H, W, 3)` uint8, BGR, sRGB-encoded, full range."""

Plane = NDArray[np.float32]
"""`(h, w)` float32."""

Floats = NDArray[np.float32]
"""float32 of the shape that its docstring gives."""


@dataclass(frozen=True, slots=True)
class Face:
    """One tracked face."""

    ident: int
    """Stays the same while the face is followed."""
    landmarks: Floats
    """`(468, 3)` MediaPipe face mesh: x right and y down in pixels of the frame, z in the same
    scale, growing away from the camera."""
    weight: float
    """0..1: eases in when the face appears and out when it is lost, so that light never pops."""
    seen: bool
    """Whether it was found in this frame; if not, it is remembered while it fades."""


@dataclass(frozen=True, slots=True)
class FaceState:
    """What the tracker knows about the people in one frame."""

    size: tuple[int, int]
    """Width and height of the frame in pixels."""
    time: float
    """Media time of the frame in seconds."""
    faces: tuple[Face, ...]
    mask: Plane
    """`(h, w)` in 0..1, the persons' share of each pixel, at reduced resolution."""
    cut: bool
    """The scene changed: forget what was believed about it."""


@dataclass(frozen=True, slots=True)
class Control:
    """The range of one of the user's controls; CLI and panel are both made from it."""

    low: float
    high: float
    default: float
    step: float
    help: str


CONTROLS: dict[str, Control] = {
    "strength": Control(0.0, 1.0, 1.0, 0.01, "how much of the light change is applied"),
    "intensity": Control(0.25, 2.0, 1.0, 0.01, "brightness of the new light"),
    "warmth": Control(-1.0, 1.0, 0.0, 0.01, "cool (-1) to warm (+1)"),
    "fill": Control(0.0, 1.0, 0.0, 0.01, "share of the light that comes from all around"),
    "background": Control(0.0, 1.0, 0.0, 0.01, "how much the background follows the light"),
    "shadows": Control(0.0, 1.0, 1.0, 0.01, "depth of the shadows that the new light casts"),
    "highlights": Control(0.0, 1.0, 1.0, 0.01, "shine of the new light on skin and hair"),
    "yaw": Control(-30.0, 30.0, 0.0, 1.0, "view turned to the side, degrees; triplane: up to 14"),
    "pitch": Control(-15.0, 15.0, 0.0, 1.0, "view from above, degrees; triplane: up to 12"),
}


SPECIAL = frozenset({"shadows", "highlights", "yaw", "pitch"})
"""Controls that not every engine obeys."""


def _default(name: str) -> float:
    return CONTROLS[name].default


@dataclass(frozen=True, slots=True)
class RelightSettings:
    """The user's controls over relighting; ranges and meanings are in `CONTROLS`.

    Raises:
        ValueError: a value is outside its range or not a finite number.
    """

    strength: float = field(default_factory=lambda: _default("strength"))
    intensity: float = field(default_factory=lambda: _default("intensity"))
    warmth: float = field(default_factory=lambda: _default("warmth"))
    fill: float = field(default_factory=lambda: _default("fill"))
    background: float = field(default_factory=lambda: _default("background"))
    shadows: float = field(default_factory=lambda: _default("shadows"))
    highlights: float = field(default_factory=lambda: _default("highlights"))
    yaw: float = field(default_factory=lambda: _default("yaw"))
    pitch: float = field(default_factory=lambda: _default("pitch"))

    def __post_init__(self) -> None:
        for name, control in CONTROLS.items():
            value = getattr(self, name)
            if not control.low <= value <= control.high:  # also refuses NaN
                raise ValueError(
                    f"{name} must be between {control.low:g} and {control.high:g}, not {value}"
                )
