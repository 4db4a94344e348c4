"""Draws lightings as people meet them: rooms, studios, windows, screens, evenings, lamps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.exposure import exposure_level
from vcam_relight.pipeline.lighting.light_map import LightMap, map_directions, to_sh
from vcam_relight.pipeline.lighting.lights import direction, temperature_rgb
from vcam_relight.pipeline.lighting.sh import dominant_direction
from vcam_relight.pipeline.lightstage.assets.asset_pack import Environment
from vcam_relight.pipeline.lightstage.core.split import Split
from vcam_relight.pipeline.lightstage.light.light_shapes import (
    any_kelvin,
    any_lamp,
    blob,
    box,
    coloured,
    energy,
    room,
    rotate,
    small,
)

YAW = 110.0
"""Degrees to either side of the camera within which the main light stands."""
_LOW, _HIGH = -40.0, 70.0
"""Elevations of the main light in degrees."""
_EXPOSURE = math.pi
"""Mean irradiance of a face in a well exposed image: a surface of albedo 0.4 is at 0.4."""
FROM_BEHIND = 0.5
"""Light that misses the face counts as this share of the mean over all normals: a camera does not
lift a back-lit face all the way."""


@dataclass(frozen=True, slots=True)
class SampledLight:
    """A lighting and where it came from."""

    radiance: LightMap
    """`(32, 64, 3)` float32, linear, world space. A face under it has a mean irradiance of about
    pi, so that the image of a surface of albedo a is at about a; dim lightings are below."""
    kind: str
    """`environment`, `studio`, `window`, `screen`, `golden hour`, `neon`, `low light`, `overcast`,
    `hard`."""
    description: str
    """For people: the kind, the environment's name, the main light's place."""


def sample_light(
    rng: np.random.Generator, environments: Sequence[Environment], split: Split = "train"
) -> SampledLight:
    """Draws one lighting.

    Its main light stands evenly over yaw -110..110 degrees and over pitch -40..70 with more above
    the horizon than below, is hard or soft, and more or less alone: all balanced by design.

    Args:
        rng: the only source of chance.
        environments: those of the asset pack; only those of the split are drawn.
        split: what the lighting is for.

    Raises:
        ValueError: the pack has no environment for that split.
    """
    usable = [item for item in environments if item.split == split]
    if not usable:
        raise ValueError(f"the asset pack has no environment for {split}")
    yaw = float(rng.uniform(-YAW, YAW))
    pitch = float(rng.triangular(_LOW, 22.0, _HIGH))
    if rng.random() < _ENVIRONMENTS:
        chosen = usable[int(rng.integers(len(usable)))]
        kind, name = "environment", f" {chosen.name}"
        radiance = _environment(rng, chosen.radiance, yaw)
    else:
        shares = np.array([share for share, _ in _MADE.values()])
        kind, name = str(rng.choice(list(_MADE), p=shares / shares.sum())), ""
        radiance = _MADE[kind][1](rng, yaw, pitch)
    stops = rng.uniform(-3.0, -1.3) if kind == "low light" else np.clip(rng.normal(0, 0.4), -1, 1)
    radiance = expose(radiance, float(2**stops))
    towards = dominant_direction(to_sh(radiance))
    place = math.degrees(math.atan2(towards[0], towards[2])), math.degrees(math.asin(towards[1]))
    return SampledLight(
        radiance, kind, f"{kind}{name}, main light at {place[0]:+.0f} {place[1]:+.0f}"
    )


def expose(radiance: LightMap, brightness: float = 1.0) -> LightMap:
    """The lighting scaled until a face is lit with a mean irradiance of `brightness` times pi."""
    sh = to_sh(radiance)
    level = exposure_level(sh, FROM_BEHIND)
    result: LightMap = (radiance * (_EXPOSURE * brightness / level)).astype(np.float32)
    return result


def _environment(rng: np.random.Generator, radiance: FloatArray, yaw: float) -> LightMap:
    towards = dominant_direction(to_sh(small(radiance)))
    own = math.degrees(math.atan2(towards[0], towards[2]))
    light = rotate(radiance, yaw - own, float(rng.normal(0, 12)))
    if rng.random() < 0.3:  # somebody's blind is down, or a lamp stands on the desk as well
        lamp = any_lamp(rng, float(rng.uniform(-YAW, YAW)), float(rng.uniform(-20, 50)))
        light = light + lamp * (energy(light) / energy(lamp) * 2 ** rng.uniform(-2, 1))
    return light * (temperature_rgb(any_kelvin(rng)) if rng.random() < 0.5 else 1.0)


def _studio(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    size = float(np.exp(rng.uniform(math.log(5), math.log(40))))
    kelvin = any_kelvin(rng)
    light = blob(yaw, pitch, size) * temperature_rgb(kelvin)
    for _ in range(int(rng.integers(3))):
        side = float(-np.sign(yaw) * rng.uniform(20, 150))
        colour = temperature_rgb(float(np.clip(kelvin * rng.uniform(0.7, 1.4), 2200, 12000)))
        fill = box(rng, side, float(rng.uniform(-20, 45)), rng.uniform(15, 50, 2))
        light += fill * colour * (energy(light) / energy(fill) * rng.uniform(0.05, 0.6))
    return light + room(rng, light, 0.03, 0.6)


def _hard(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    light = blob(yaw, pitch, float(rng.uniform(2.5, 6))) * temperature_rgb(any_kelvin(rng))
    return light + room(rng, light, 0.04, 0.3)


def _window(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    yaw = math.copysign(max(abs(yaw), 25.0), yaw)
    pane = box(rng, yaw, float(rng.uniform(5, 30)), rng.uniform((25, 30), (70, 60)))
    vectors, _ = map_directions()
    sky, ground = temperature_rgb(float(rng.uniform(6000, 10000))), temperature_rgb(5500.0) * 0.4
    share = np.clip(vectors[..., 1:2] * 3 + 0.5, 0, 1)
    light = pane * (sky * share + ground * (1 - share))
    return np.asarray(light + room(rng, light, 0.08, 0.5), np.float32)


def _screen(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    """A monitor or a phone before the person, its colour that of what it shows."""
    colour = coloured(float(rng.random()), float(rng.uniform(0.1, 0.8)))
    place = float(np.clip(rng.normal(0, 18), -45, 45)), float(rng.uniform(-35, 2))
    light = box(rng, *place, rng.uniform((20, 14), (55, 32))) * colour
    if rng.random() < 0.5:
        lamp = any_lamp(rng, yaw, abs(pitch))
        light += lamp * (energy(light) / energy(lamp) * rng.uniform(0.1, 0.8))
    return light + room(rng, light, 0.05, 0.4)


def _golden_hour(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    sun = blob(yaw, float(rng.uniform(3, 18)), float(rng.uniform(4, 9)))
    light = sun * temperature_rgb(float(rng.uniform(2200, 3600)))
    vectors, angle = map_directions()
    height = vectors[..., 1:2]
    glow = np.exp(-((height / 0.25) ** 2)) * temperature_rgb(3600.0)
    dome = np.where(height > 0, temperature_rgb(10000.0), temperature_rgb(5000.0) * 0.35) + glow
    dome /= (dome * angle[..., None]).sum() / 3
    return np.asarray(light + dome * (energy(light) * rng.uniform(0.2, 0.9)), np.float32)


def _neon(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    """Two lights of different strong colours from two sides."""
    hue = float(rng.random())
    yaw = math.copysign(max(abs(yaw), 30.0), yaw)
    first = box(rng, yaw, pitch * 0.5, rng.uniform(10, 50, 2)) * coloured(hue, 0.9)
    other = (hue + float(rng.uniform(0.25, 0.75))) % 1
    second = box(rng, -yaw * rng.uniform(0.6, 1.2), pitch * 0.3, rng.uniform(10, 50, 2))
    light = first + second * coloured(other, 0.9) * (
        energy(first) / energy(second) * rng.uniform(0.3, 1.0)
    )
    return light + room(rng, light, 0.05, 0.3)


def _low_light(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    light = any_lamp(rng, yaw, pitch)
    return light + room(rng, light, 0.1, 0.8)


def _overcast(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    """Light from nearly all around, a little more from one side."""
    vectors, _ = map_directions()
    lean = np.clip(0.5 + 0.5 * vectors @ direction(yaw, pitch), 0, 1)[..., None]
    dome = 1 - rng.uniform(0.2, 0.9) + lean ** rng.uniform(1, 4)
    ground = np.where(vectors[..., 1:2] < 0, rng.uniform(0.3, 1.0), 1.0)
    return np.asarray(dome * ground * temperature_rgb(any_kelvin(rng)), np.float32)


_Maker = Callable[[np.random.Generator, float, float], LightMap]

_ENVIRONMENTS = 0.34
"""Share of lightings that come from the pack's maps; the others are made."""
_MADE: dict[str, tuple[float, _Maker]] = {
    "studio": (0.20, _studio),
    "hard": (0.10, _hard),
    "window": (0.10, _window),
    "screen": (0.07, _screen),
    "golden hour": (0.05, _golden_hour),
    "neon": (0.05, _neon),
    "low light": (0.04, _low_light),
    "overcast": (0.05, _overcast),
}
