"""The tables of how the light lights: rooms, presets, and light that holds still."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.evaluate.dpr import DprEngine
from vcam_relight.pipeline.evaluate.media import moving_clip
from vcam_relight.pipeline.evaluate.method import COPY_INPUT, EngineMethod
from vcam_relight.pipeline.evaluate.rooms import CLEAN, ROOMS, in_room
from vcam_relight.pipeline.evaluate.skin_meter import SkinMeter, mean_log_light
from vcam_relight.pipeline.evaluate.stills import Metrics
from vcam_relight.pipeline.lighting.presets import Preset

IN_ROOMS = ("auto", "soft-front", "key-left")
"""Presets that rooms are lit with."""
_STILL = ("auto", "key-left")
_STILL_FRAMES, _SETTLED = 30, 10
_TONES = (("lighter", 28.0), ("middle", 10.0), ("darker", -90.0))
"""Apparent tones by individual typology angle in degrees, above which each lies."""

Table = dict[str, dict[str, Metrics]]
"""Group, then method: medians over portraits."""


@dataclass
class LightTables:
    """What was measured of the light itself."""

    rooms: Table = field(default_factory=dict)
    """By room; methods are an engine and a preset, or the input."""
    tones: Table = field(default_factory=dict)
    """Skin colour errors in all rooms but the clean one, under auto, by apparent tone."""
    presets: Table = field(default_factory=dict)
    """By preset, on clean portraits."""
    stillness: Table = field(default_factory=dict)
    """By room, of a portrait that holds still."""


class LightTableMeter:
    """Measures engines on portraits, one after the other."""

    def __init__(self, engines: Sequence[EngineMethod], presets: dict[str, Preset]) -> None:
        """Takes the engines, copy-input among them, and all presets."""
        self._engines = engines
        self._presets = {name: p for name, p in presets.items() if p.mode != "off"}
        self._rooms: list[tuple[str, str, Metrics]] = []
        self._tones: list[tuple[str, str, Metrics]] = []
        self._on_clean: list[tuple[str, str, Metrics]] = []
        self._stillness: list[tuple[str, str, Metrics]] = []

    def add(self, meter: SkinMeter, seed: int) -> list[list[BgrImage]]:
        """Measures one portrait.

        Returns:
            For each room the input and what each engine but copy-input makes of it with the presets
            of `IN_ROOMS`.
        """
        clean: dict[str, float] = {}
        shown = []
        tone = next(name for name, above in _TONES if meter.tone > above)
        for room in (CLEAN, *ROOMS):
            image = in_room(meter.image, room, seed)
            row = [image]
            self._rooms.append((room.name, COPY_INPUT, meter.measure(image)))
            for name, output, metrics in self._lit(image, meter, IN_ROOMS):
                if room == CLEAN:
                    clean[name] = metrics["luminance_ratio"] or 1.0
                metrics["of_clean"] = (metrics["luminance_ratio"] or 0.0) / clean[name]
                self._rooms.append((room.name, name, metrics))
                if room != CLEAN and name.endswith("auto"):
                    self._tones.append((tone, name, metrics))
                row.append(output)
            shown.append(row)
        for preset in self._presets:
            for name, _, metrics in self._lit(meter.image, meter, (preset,)):
                self._on_clean.append((preset, name.rsplit(",", 1)[0], metrics))
        return shown

    def hold_still(self, meter: SkinMeter, seed: int) -> None:
        """Measures how much the light moves where nothing does but the sensor's noise."""
        for room in (CLEAN, ROOMS[0]):
            image = in_room(meter.image, room, seed)
            clip = moving_clip("still", image, _STILL_FRAMES, seed, pan=0.0)
            given = _spread(list(clip.images), meter)
            for engine in self.relighting:
                for preset in _STILL:
                    lighting = self._presets[preset].lighting()
                    out = engine.stream(clip, [lighting] * _STILL_FRAMES)
                    ratio = _spread(out, meter) / max(given, 1e-6)
                    name = f"{engine.name}, {preset}"
                    self._stillness.append((room.name, name, {"light_spread": ratio}))

    def tables(self) -> LightTables:
        """Medians of all that was measured; of the luminance also the least."""
        return LightTables(
            _medians(self._rooms),
            _medians(self._tones),
            _medians(self._on_clean),
            _medians(self._stillness),
        )

    @property
    def relighting(self) -> list[EngineMethod]:
        """The engines that presets mean something to: DPR knows neither exposure nor `auto`."""
        others = (COPY_INPUT, DprEngine.name)
        return [engine for engine in self._engines if engine.name not in others]

    def _lit(
        self, image: BgrImage, meter: SkinMeter, presets: Sequence[str]
    ) -> Iterator[tuple[str, BgrImage, Metrics]]:
        for engine in self.relighting:
            for name in presets:
                preset = self._presets[name]
                output = engine.still(image, preset.lighting(), preset.controls).image
                yield f"{engine.name}, {name}", output, meter.measure(output)


def _spread(images: list[BgrImage], meter: SkinMeter) -> float:
    means = [mean_log_light(image, meter.skin) for image in images[_SETTLED:]]
    return float(np.std(means))


def _medians(found: list[tuple[str, str, Metrics]]) -> Table:
    table: dict[str, dict[str, list[Metrics]]] = {}
    for group, name, metrics in found:
        table.setdefault(group, {}).setdefault(name, []).append(metrics)
    return {
        group: {name: _median(rows) for name, rows in methods.items()}
        for group, methods in table.items()
    }


def _median(rows: list[Metrics]) -> Metrics:
    result: Metrics = {"cases": float(len(rows))}
    for key in rows[0]:
        values = [value for row in rows if (value := row.get(key)) is not None]
        result[key] = float(np.median(values)) if values else None
    levels = [level for row in rows if (level := row.get("luminance_ratio")) is not None]
    if levels:
        result["least_luminance"] = min(levels)
    return result
