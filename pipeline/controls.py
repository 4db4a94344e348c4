"""The user's controls over relighting.

Each control is one field of `RelightSettings`, declared with its row: command line, panel, protocol
and saved settings are made from these rows, so that a new control is one more field here and an
engine that reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How a value is written for people: `value * scale`, then `unit`."""

    unit: str = ""
    scale: float = 1.0
    decimals: int = 0
    signed: bool = False
    """Whether values above 0 are written with a plus sign."""


PERCENT = NumberFormat(" %", scale=100.0)
FACTOR = NumberFormat("×", decimals=2)
BALANCE = NumberFormat(scale=100.0, signed=True)
DEGREES = NumberFormat("°")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """All that is known of one control but its name, which is its field's."""

    label: str
    """Its name for people, in the panel."""
    help: str
    """What it does, in a few words."""
    group: Literal["Light", "Blend", "View"]
    """Controls of a group stand together."""
    low: float
    high: float
    default: float
    step: float = 0.01
    """The smallest change that a slider makes."""
    format: NumberFormat = PERCENT
    optional: bool = False
    """Whether engines need not support it; those that do say so (`EngineInfo.supports`)."""


_ROW = "control"


def _declare(row: Control) -> float:
    return field(default=row.default, metadata={_ROW: row})


@dataclass(frozen=True, slots=True, kw_only=True)
class RelightSettings:
    """A value for each of the user's controls, in the order in which the panel shows them.

    Raises:
        ValueError: a value is outside its range or not a finite number.
    """

    intensity: float = _declare(
        Control(
            label="Intensity",
            help="brightness of the new light",
            group="Light",
            low=0.25,
            high=2.0,
            default=1.0,
            format=FACTOR,
        )
    )
    warmth: float = _declare(
        Control(
            label="Warmth",
            help="cool (-1) to warm (+1)",
            group="Light",
            low=-1.0,
            high=1.0,
            default=0.0,
            format=BALANCE,
        )
    )
    fill: float = _declare(
        Control(
            label="Fill",
            help="share of the light that comes from all around",
            group="Light",
            low=0.0,
            high=1.0,
            default=0.0,
        )
    )
    shadows: float = _declare(
        Control(
            label="Shadows",
            help="depth of the shadows that the new light casts",
            group="Light",
            low=0.0,
            high=1.0,
            default=1.0,
            optional=True,
        )
    )
    highlights: float = _declare(
        Control(
            label="Highlights",
            help="shine of the new light on skin and hair",
            group="Light",
            low=0.0,
            high=1.0,
            default=1.0,
            optional=True,
        )
    )
    background: float = _declare(
        Control(
            label="Background",
            help="how much the background follows the light",
            group="Blend",
            low=0.0,
            high=1.0,
            default=0.0,
        )
    )
    strength: float = _declare(
        Control(
            label="Strength",
            help="how much of the light change is applied",
            group="Blend",
            low=0.0,
            high=1.0,
            default=1.0,
        )
    )
    yaw: float = _declare(
        Control(
            label="Turn",
            help="view turned to the side, degrees; triplane: up to 14",
            group="View",
            low=-30.0,
            high=30.0,
            default=0.0,
            step=1.0,
            format=DEGREES,
            optional=True,
        )
    )
    pitch: float = _declare(
        Control(
            label="Tilt",
            help="view from above, degrees; triplane: up to 12",
            group="View",
            low=-15.0,
            high=15.0,
            default=0.0,
            step=1.0,
            format=DEGREES,
            optional=True,
        )
    )

    def __post_init__(self) -> None:
        for name, control in CONTROLS.items():
            value = getattr(self, name)
            if not control.low <= value <= control.high:  # also refuses NaN
                raise ValueError(
                    f"{name} must be between {control.low:g} and {control.high:g}, not {value}"
                )


CONTROLS: Mapping[str, Control] = {row.name: row.metadata[_ROW] for row in fields(RelightSettings)}
"""The controls by name, in the panel's order."""

OPTIONAL_CONTROLS = frozenset(name for name, control in CONTROLS.items() if control.optional)
"""Controls that not every engine supports."""
