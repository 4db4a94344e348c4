"""The settings of a stream: one immutable object, swapped whole, and the place that holds it."""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vcam_relight.pipeline.controls import CONTROLS, RelightSettings
from vcam_relight.pipeline.engines.registry import DEFAULT_ENGINE, ENGINES
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.presets import Preset
from vcam_relight.vcam.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the user can change while the camera runs."""

    preset: str
    aim: tuple[float, float] | None = None
    """Azimuth and elevation in degrees to which the user dragged the key light (see
    `pipeline.lighting.lights.direction`); None: where the preset has it."""
    mirror: bool = False
    engine: str = DEFAULT_ENGINE
    relight: RelightSettings = field(default_factory=RelightSettings)

    def to_json(self) -> dict[str, Any]:
        """Flat: the controls beside the rest, as the panel and `SettingsStore.change` use them."""
        flat = asdict(self)
        controls: dict[str, Any] = flat.pop("relight")
        return flat | controls


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Settings with the number that acknowledges them and the lighting they ask for."""

    id: int
    settings: Settings
    lighting: Lighting


class SettingsStore:
    """Holds the current settings. Any thread may read or change them."""

    def __init__(self, presets: Mapping[str, Preset], settings: Settings) -> None:
        self.presets = presets
        self._lock = threading.Lock()
        self._current = Snapshot(1, settings, self._lighting(settings))

    @property
    def current(self) -> Snapshot:
        """The newest settings."""
        return self._current

    def change(self, changes: Mapping[str, Any]) -> Snapshot:
        """Applies `changes` (keys of `Settings.to_json`) at once or not at all.

        A new preset brings its own controls and light directions; other keys given along with it
        win over the preset's.

        Raises:
            InputError: an unknown key, or a value of the wrong type or outside its range.
        """
        with self._lock:
            settings = _apply(self._current.settings, changes, self.presets)
            self._current = Snapshot(self._current.id + 1, settings, self._lighting(settings))
            return self._current

    def _lighting(self, settings: Settings) -> Lighting:
        preset = self.presets.get(settings.preset)
        if preset is None:
            names = ", ".join(self.presets)
            raise InputError(f"there is no preset called {settings.preset!r}", f"choose of {names}")
        return preset.lighting(settings.aim)


def _apply(now: Settings, changes: Mapping[str, Any], presets: Mapping[str, Preset]) -> Settings:
    unknown = set(changes) - {"preset", "aim", "mirror", "engine", *CONTROLS}
    if unknown:
        raise InputError(f"there is no setting called {sorted(unknown)[0]!r}")
    if "preset" in changes:
        name = changes["preset"]
        if not isinstance(name, str) or name not in presets:
            raise InputError(
                f"there is no preset called {name!r}", f"choose of {', '.join(presets)}"
            )
        now = replace(now, preset=name, aim=None, relight=presets[name].controls)
    if "aim" in changes:
        now = replace(now, aim=_aim(changes["aim"]))
    if "mirror" in changes:
        if not isinstance(changes["mirror"], bool):
            raise InputError("mirror must be true or false")
        now = replace(now, mirror=changes["mirror"])
    if "engine" in changes:
        engine = changes["engine"]
        if not isinstance(engine, str) or engine not in ENGINES:
            raise InputError(
                f"there is no engine called {engine!r}", f"choose of {', '.join(ENGINES)}"
            )
        now = replace(now, engine=engine)
    controls = {name: _number(name, changes[name]) for name in CONTROLS if name in changes}
    try:
        return replace(now, relight=replace(now.relight, **controls))
    except ValueError as error:
        raise InputError(str(error)) from error


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
        raise InputError("aim must be an azimuth within +-180 and an elevation within +-90 degrees")
    return azimuth, elevation
