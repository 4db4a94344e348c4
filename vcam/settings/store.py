"""The settings of a stream: one immutable object, swapped whole, and the place that holds it."""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vcam_relight.pipeline.compositing.backdrop import Backdrop
from vcam_relight.pipeline.controls import CONTROLS, RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.engines.registry import DEFAULT_ENGINE, ENGINES
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.lights import Light
from vcam_relight.pipeline.lighting.presets import Preset
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.settings.parsing import backdrop_kind, choice, color_of, parse


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the user can change while the camera runs."""

    preset: str
    aim: tuple[float, float] | None = None
    """The direction that overrides the preset's for the key light: azimuth and elevation in degrees
    (see `pipeline.lighting.lights.direction`)."""
    lights: tuple[Light, ...] | None = None
    """Lights in the place of the preset's, if it has any; None: its own."""
    mirror: bool = False
    engine: str = DEFAULT_ENGINE
    backdrop: str = "keep"
    """What is seen behind people: one of `BACKDROPS`."""
    backdrop_amount: float = 0.5
    """0..1: of blur, dim and gray."""
    backdrop_color: str = "#1c5f46"
    """`#rrggbb`, sRGB."""
    relight: RelightSettings = field(default_factory=RelightSettings)

    def to_json(self) -> dict[str, Any]:
        """Flat, the controls beside the rest: as in messages, the saved file and `change`."""
        flat = asdict(self)
        controls: dict[str, Any] = flat.pop("relight")
        return flat | controls


PRESET_SETTINGS = frozenset({"preset", "aim", "lights", *CONTROLS})
"""The settings that choosing a preset changes; all others it leaves alone."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Settings with the number that acknowledges them and the lighting they ask for."""

    id: int
    settings: Settings
    lighting: Lighting
    backdrop: Backdrop


class SettingsStore:
    """Holds the current settings. Any thread may read or change them."""

    def __init__(self, presets: Mapping[str, Preset], settings: Settings) -> None:
        self.presets = presets
        self._lock = threading.Lock()
        self._picture: BgrImage | None = None
        self._current = self._snapshot(1, settings)

    @property
    def current(self) -> Snapshot:
        """The newest settings."""
        return self._current

    def change(self, changes: Mapping[str, Any], *, resumed: bool = False) -> Snapshot:
        """Applies `changes` (keys of `Settings.to_json`) at once or not at all.

        A new preset brings what `preset_changes` says; other keys given along with it win.

        Args:
            changes: what to change, and to what.
            resumed: they were in force before. Among them may be controls that the engine does not
                support: those set for another one, before it was chosen.

        Raises:
            InputError: an unknown key, a value of the wrong type or outside its range, or a control
                that the engine does not support.
        """
        with self._lock:
            asked = {name: parse(name, value, self.presets) for name, value in changes.items()}
            now = self._current
            preset = self.presets[asked.get("preset", now.settings.preset)]
            if not resumed:
                check_supported(asked.get("engine", now.settings.engine), asked, preset.controls)
            values = preset_changes(preset) | asked if "preset" in asked else asked
            controls = {name: values.pop(name) for name in CONTROLS if name in values}
            try:
                relight = replace(now.settings.relight, **controls)
            except ValueError as error:
                raise InputError(str(error)) from error
            settings = replace(now.settings, **values, relight=relight)
            self._current = self._snapshot(now.id + 1, settings)
            return self._current

    def show_picture(self, picture: BgrImage | None) -> Snapshot:
        """Takes the picture `(h, w, 3)` that the backdrop `picture` is."""
        with self._lock:
            self._picture = picture
            self._current = self._snapshot(self._current.id + 1, self._current.settings)
            return self._current

    def replace_presets(
        self, presets: Mapping[str, Preset], renamed: Mapping[str, str], fallback: str
    ) -> Snapshot:
        """Puts other presets in the place of those that there were; settings stay as they are.

        Args:
            presets: by name.
            renamed: old names -> new ones.
            fallback: what is chosen, if the preset that is on is no longer there.
        """
        with self._lock:
            now = self._current
            self.presets = presets
            name = renamed.get(now.settings.preset, now.settings.preset)
            settings = replace(now.settings, preset=name)
            if name not in presets:
                preset = presets[fallback]
                settings = replace(
                    settings, preset=fallback, aim=None, lights=None, relight=preset.controls
                )
            self._current = self._snapshot(now.id + 1, settings)
            return self._current

    def _snapshot(self, number: int, settings: Settings) -> Snapshot:
        preset = self.presets[choice("preset", settings.preset, self.presets)]
        backdrop = Backdrop(
            backdrop_kind(settings.backdrop),
            settings.backdrop_amount,
            color_of(settings.backdrop_color),
            self._picture,
        )
        lighting = preset.lighting(settings.aim, settings.lights)
        return Snapshot(number, settings, lighting, backdrop)


def preset_changes(preset: Preset) -> dict[str, Any]:
    """What choosing `preset` changes, as `SettingsStore.change` takes it.

    That is all of `PRESET_SETTINGS`: every control, and the lights are the preset's own, where it
    has them.
    """
    return {"preset": preset.name, "aim": None, "lights": None, **asdict(preset.controls)}


def check_supported(engine: str, asked: Mapping[str, object], preset: RelightSettings) -> None:
    """Refuses controls that would change nothing.

    Args:
        engine: the name of an engine.
        asked: what is asked for; keys that are no controls are left alone.
        preset: the chosen preset's controls, which may be asked for all the same.

    Raises:
        InputError: `engine` does not support a control whose value is neither its default nor the
            preset's.
    """
    for name in sorted(ENGINES[engine].unsupported_controls & set(asked)):
        default = CONTROLS[name].default
        if asked[name] not in (default, getattr(preset, name)):
            raise InputError(f"the engine {engine!r} has no {name}", f"leave it at {default:g}")
