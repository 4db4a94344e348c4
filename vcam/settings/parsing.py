"""Checks values that come from outside: messages, saved settings, the command line."""

from collections.abc import Mapping
from typing import Any

from vcam_relight.pipeline.controls import CONTROLS
from vcam_relight.pipeline.engines.registry import ENGINES
from vcam_relight.pipeline.lighting.presets import Preset
from vcam_relight.vcam.core.errors import InputError


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
        case "mirror":
            return _boolean("mirror", value)
        case "engine":
            return choice("engine", value, ENGINES)
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


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false")
    return value
