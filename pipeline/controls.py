"""The user's controls over relighting: one row each, with range, default and step."""

from dataclasses import dataclass, field


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
