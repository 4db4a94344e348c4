"""Named lightings in TOML: those that come with the program, and the user's own."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import numpy as np

from vcam_relight.pipeline.controls import CONTROLS, RelightSettings
from vcam_relight.pipeline.core.color import DECODE_8BIT, luminance
from vcam_relight.pipeline.core.user_files import brief, read_text
from vcam_relight.pipeline.lighting.lighting import AUTO, OFF, Lighting
from vcam_relight.pipeline.lighting.lights import NEUTRAL_K, Light, temperature_rgb

_AMBIENT_KEYS = {"temperature", "colour", "intensity", "rgb"}
_LIGHT_KEYS = _AMBIENT_KEYS | {"azimuth", "elevation", "softness"}
_LARGEST = 1e6
"""No angle, intensity or temperature is larger."""
_LEAST_EXPOSURE, _MOST_EXPOSURE = 0.1, 3.0
_MOST_BYTES = 1 << 18
"""Of a file of presets; one of the program's takes a few hundred."""
LONGEST_TITLE, _LONGEST_HELP = 60, 300
"""Characters: longer ones are cut, since they would widen the panel and the list."""
_PRESET_KEYS = {"title", "help", "mode", "light", "ambient", "exposure", "controls"}


class PresetSummary(TypedDict):
    """What people choose a preset by."""

    name: str
    title: str
    help: str
    lights: Annotated[list[dict[str, Any]], "Light[]"]
    """The fields of each; the first one is the key light; empty where there is none to drag."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A lighting with a name."""

    name: str
    title: str
    help: str
    mode: Literal["sh", "auto", "off"]
    lights: tuple[Light, ...]
    """The first one is the key light: the one that is dragged."""
    ambient: tuple[float, float, float]
    """RGB irradiance from all around, linear."""
    exposure: float
    """Luminance of a face over that of a well exposed one."""
    controls: RelightSettings
    """What the sliders are set to when the preset is chosen."""

    def lighting(
        self, aim: tuple[float, float] | None = None, lights: tuple[Light, ...] | None = None
    ) -> Lighting:
        """The lighting of the preset.

        Args:
            aim: azimuth and elevation, in degrees, that the key light is moved to, if there is one.
            lights: in the place of its own; None: its own.
        """
        if self.mode == "off":
            return OFF
        if self.mode == "auto":
            return AUTO
        return Lighting.of_lights(self.lit(aim, lights), self.ambient, self.exposure)

    def lit(
        self, aim: tuple[float, float] | None, lights: tuple[Light, ...] | None
    ) -> tuple[Light, ...]:
        """The lights that `lighting` makes it of, given the same."""
        if self.mode != "sh":
            return self.lights
        made = self.lights if lights is None else lights
        if aim is None or not made:
            return made
        return (replace(made[0], azimuth=aim[0], elevation=aim[1]), *made[1:])

    def to_json(self) -> PresetSummary:
        """For the panel and `vcam presets --json`."""
        return {
            "name": self.name,
            "title": self.title,
            "help": self.help,
            "lights": [asdict(light) for light in self.lights],
        }


def load_presets(user_folder: Path | None = None) -> tuple[dict[str, Preset], list[str]]:
    """The program's presets, then the user's from each `*.toml` in `user_folder`, by name.

    A user's preset of the same name replaces the program's.

    Returns:
        The presets, and a line for each user file or preset that is wrong and was left out.
    """
    text = Path(__file__).with_name("presets.toml").read_text("utf-8")
    presets = {name: _preset(name, table) for name, table in tomllib.loads(text).items()}
    problems: list[str] = []
    for path in sorted(user_folder.glob("*.toml")) if user_folder else []:
        try:
            tables = tomllib.loads(read_text(path, _MOST_BYTES))
        except (OSError, ValueError) as error:
            problems.append(f"{path}: {brief(error)}")
            continue
        except (RecursionError, MemoryError):
            problems.append(f"{path}: it is nested too deeply or too large")
            continue
        for name, table in tables.items():
            try:
                if name == "off":
                    raise ValueError("off is always the picture as it is")
                presets[name] = _preset(name, table)
            except (ValueError, RecursionError) as error:
                problems.append(f"{path}: preset {brief(name, LONGEST_TITLE)}: {brief(error)}")
    return presets, problems


def read_presets(path: Path) -> dict[str, Preset]:
    """The presets in one file, in its order.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no TOML, or one of them is wrong.
    """
    try:
        tables = tomllib.loads(read_text(path, _MOST_BYTES))
        return {name: _preset(name, table) for name, table in tables.items()}
    except (RecursionError, MemoryError) as error:
        raise ValueError("it is nested too deeply or too large") from error


def presets_toml(presets: Iterable[Preset]) -> str:
    """Presets as `read_presets` reads them."""
    return "\n".join(map(_table, presets))


def _table(preset: Preset) -> str:
    name = _quoted(preset.name)
    controls = {
        key: value
        for key, value in asdict(preset.controls).items()
        if value != CONTROLS[key].default
    }
    lines = [
        f"[{name}]",
        f"title = {_quoted(preset.title)}",
        f"help = {_quoted(preset.help)}",
        f"mode = {_quoted(preset.mode)}",
        f"exposure = {preset.exposure!r}",
        f"ambient = {{ rgb = {list(preset.ambient)} }}",
        f"controls = {{ {', '.join(f'{key} = {value!r}' for key, value in controls.items())} }}",
    ]
    for light in preset.lights:
        lines += [
            f"[[{name}.light]]",
            f"azimuth = {float(light.azimuth)!r}",
            f"elevation = {float(light.elevation)!r}",
            f"rgb = {list(light.rgb)}",
            f"softness = {float(light.softness)!r}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML, whose escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _preset(name: str, table: object) -> Preset:
    if not isinstance(table, Mapping):
        raise ValueError("a preset is a table")
    if not name or len(name) > LONGEST_TITLE:
        raise ValueError(f"a name has 1 to {LONGEST_TITLE} characters")
    _known(table, _PRESET_KEYS)
    mode = table.get("mode", "sh")
    if mode not in ("sh", "auto", "off"):
        raise ValueError(f"mode is sh, auto or off, not {mode!r}")
    lights = table.get("light", [])
    if not isinstance(lights, list) or not all(isinstance(light, Mapping) for light in lights):
        raise ValueError("light is a list of tables: [[name.light]]")
    ambient_table = table.get("ambient", {})
    _known(ambient_table, _AMBIENT_KEYS)
    ambient = _rgb(ambient_table, default_intensity=0.0)
    controls = table.get("controls", {})
    _known(controls, set(CONTROLS))
    made = tuple(_light(light) for light in lights)
    exposure = _number("exposure", table.get("exposure", 1.0))
    if not _LEAST_EXPOSURE <= exposure <= _MOST_EXPOSURE:
        raise ValueError(
            f"exposure is between {_LEAST_EXPOSURE:g} and {_MOST_EXPOSURE:g}, not {exposure:g}"
        )
    if mode == "sh" and not any(sum(light.rgb) for light in made) and not sum(ambient):
        raise ValueError("it has no light: give [[light]] or [ambient] an intensity")
    return Preset(
        name=name,
        title=brief(table.get("title", name), LONGEST_TITLE),
        help=brief(table.get("help", ""), _LONGEST_HELP),
        mode=mode,
        lights=made,
        ambient=ambient,
        exposure=exposure,
        controls=RelightSettings(**{key: _number(key, value) for key, value in controls.items()}),
    )


def _light(table: Mapping[str, Any]) -> Light:
    _known(table, _LIGHT_KEYS)
    softness = _number("softness", table.get("softness", 0.3))
    if not 0 <= softness <= 1:
        raise ValueError(f"softness is between 0 and 1, not {softness:g}")
    return Light(
        azimuth=_number("azimuth", table.get("azimuth", 0.0)),
        elevation=_number("elevation", table.get("elevation", 0.0)),
        rgb=_rgb(table, default_intensity=1.0),
        softness=softness,
    )


def _rgb(table: Mapping[str, Any], default_intensity: float) -> tuple[float, float, float]:
    """Linear RGB of luminance `intensity`, tinted by `temperature` (K) or `colour` (sRGB hex).

    Or `rgb`, as it is.
    """
    if "rgb" in table:
        given = table["rgb"]
        if set(table) & {"temperature", "colour", "intensity"}:
            raise ValueError("rgb says colour and intensity: leave out the others")
        if not isinstance(given, list) or len(given) != 3:
            raise ValueError(f"rgb is [red, green, blue], not {brief(given, 40)}")
        red, green, blue = (_number("rgb", value) for value in given)
        if min(red, green, blue) < 0:
            raise ValueError("no part of rgb is below 0")
        return red, green, blue
    intensity = _number("intensity", table.get("intensity", default_intensity))
    if intensity < 0:
        raise ValueError("an intensity is not below 0")
    if "colour" in table:
        text = str(table["colour"])
        if not re.fullmatch("#?[0-9a-fA-F]{6}", text):
            raise ValueError(f"colour is like #ff8800, not {text!r}")
        encoded = np.frombuffer(bytes.fromhex(text.lstrip("#")), np.uint8)
        rgb = DECODE_8BIT[encoded]
        if not rgb.any():
            raise ValueError("black is no colour of light; use intensity 0")
        # A saturated colour scaled to luminance 1 would blow out its channel: scale halfway.
        rgb = rgb / (0.5 * float(rgb.max()) + 0.5 * luminance(rgb))
    else:
        rgb = temperature_rgb(_number("temperature", table.get("temperature", NEUTRAL_K)))
    r, g, b = (float(v) * intensity for v in rgb)
    return r, g, b


def _known(table: object, keys: set[str]) -> None:
    if not isinstance(table, Mapping):
        raise ValueError(f"expected a table with {', '.join(sorted(keys))}")
    unknown = set(table) - keys
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r}; known: {', '.join(sorted(keys))}")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is a number, not {value!r}")
    if not -_LARGEST <= value <= _LARGEST:  # also refuses NaN
        raise ValueError(f"{name} is far out of range")
    return float(value)
