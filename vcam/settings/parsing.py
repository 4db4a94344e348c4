"""Checks values that come from outside: messages, saved settings, the command line."""

import re
from collections.abc import Mapping
from typing import Any

from vcam_relight.pipeline.compositing.backdrop import BACKDROPS, BackdropKind
from vcam_relight.pipeline.controls import CONTROLS
from vcam_relight.pipeline.engines.registry import ENGINES
from vcam_relight.pipeline.lighting.lights import Light
from vcam_relight.pipeline.lighting.presets import Preset
from vcam_relight.vcam.core.errors import InputError

MOST_LIGHTS = 6
"""Lights that can be put in the place of a preset's: more are hard to tell apart in a picture."""
LEAST_LIGHT, MOST_LIGHT = 0.01, 20.0
"""Of the largest part of a light's RGB; those of our presets have 0.1 to 3."""


def parse(name: str, value: object, presets: Mapping[str, Preset]) -> Any:
    """The value of the setting called `name`, as `Settings` and `RelightSettings` hold it.

    The ranges of controls are left to `RelightSettings`.

    Raises:
        InputError: there is no such setting, or the value is none of its values.
    """
    if name in CONTROLS:
        return _number(name, value)
    match name:
        case "preset":
            return choice("preset", value, presets)
        case "aim":
            return _aim(value)
        case "lights":
            return _lights(value)
        case "mirror":
            return _boolean("mirror", value)
        case "engine":
            return choice("engine", value, ENGINES)
        case "backdrop":
            return backdrop_kind(value)
        case "backdrop_amount":
            amount = _number("backdrop_amount", value)
            if not 0 <= amount <= 1:
                raise InputError(f"backdrop_amount must be between 0 and 1, not {amount}")
            return amount
        case "backdrop_color":
            color_of(value)
            return value
    raise InputError(f"there is no setting called {name!r}")


def choice(what: str, value: object, choices: Mapping[str, object]) -> str:
    """`value`, which must be one of the names in `choices`.

    Raises:
        InputError: there is no `what` (such as "preset") of that name.
    """
    if not isinstance(value, str) or value not in choices:
        raise InputError(
            f"there is no {what} called {value!r}", f"choose one of {', '.join(choices)}"
        )
    return value


def backdrop_kind(value: object) -> BackdropKind:
    """One of `BACKDROPS`; raises InputError."""
    for kind in BACKDROPS:
        if kind == value:
            return kind
    raise InputError(
        f"there is no backdrop called {value!r}", f"choose one of {', '.join(BACKDROPS)}"
    )


def color_of(value: object) -> tuple[int, int, int]:
    """RGB of 0..255 of a colour like `#1c5f46`; raises InputError."""
    if not isinstance(value, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise InputError(f"a colour is written like #1c5f46, not {value!r}")
    red, green, blue = bytes.fromhex(value[1:])
    return red, green, blue


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} must be a number, not {value!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise InputError(f"{name} is far too large") from error


def _aim(value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError("aim must be null or [azimuth, elevation] in degrees")
    azimuth, elevation = (_number("aim", part) for part in value)
    if not (-180 <= azimuth <= 180 and -90 <= elevation <= 90):
        raise InputError("aim must be an azimuth within ±180 and an elevation within ±90 degrees")
    return azimuth, elevation


def _lights(value: object) -> tuple[Light, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_LIGHTS:
        raise InputError(f"lights must be null or a list of 1 to {MOST_LIGHTS}")
    return tuple(map(_light, value))


def _light(value: object) -> Light:
    fields = {"azimuth", "elevation", "rgb", "softness"}
    if not isinstance(value, Mapping) or set(value) != fields:
        raise InputError(f"a light has {', '.join(sorted(fields))}")
    azimuth, elevation = _aim((value["azimuth"], value["elevation"])) or (0.0, 0.0)
    rgb, softness = value["rgb"], _number("softness", value["softness"])
    if not isinstance(rgb, list | tuple) or len(rgb) != 3:
        raise InputError("a light's rgb must be [red, green, blue], linear")
    red, green, blue = (_number("rgb", part) for part in rgb)
    if not (min(red, green, blue) >= 0 and LEAST_LIGHT <= max(red, green, blue) <= MOST_LIGHT):
        raise InputError(
            f"the largest of a light's rgb must be {LEAST_LIGHT:g} to {MOST_LIGHT:g}, none below 0"
        )
    if not 0 <= softness <= 1:
        raise InputError("a light's softness must be 0 to 1")
    return Light(azimuth, elevation, (red, green, blue), softness)


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false")
    return value
