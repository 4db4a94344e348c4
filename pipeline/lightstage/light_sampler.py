"""Draws lightings as people meet them: rooms, studios, windows, screens, evenings, lamps."""

import colorsys
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np

from pipeline.color import luminance
from pipeline.lighting.light import direction, temperature_rgb
from pipeline.lighting.sh import MEAN, dominant_direction
from pipeline.lightstage.light_map import (
    COLUMNS,
    ROWS,
    LightMap,
    map_directions,
    sphere_directions,
    to_sh,
)
from pipeline.present_light import exposure
from pipeline.types import Floats

Split = Literal["train", "test"]

YAW = 110.0
"""Degrees to either side of the camera within which the main light stands."""
_LOW, _HIGH = -40.0, 70.0
"""Elevations of the main light in degrees."""
_EXPOSURE = math.pi
"""Mean irradiance of a face in a well exposed picture: a surface of albedo 0.4 is at 0.4."""
_FROM_BEHIND = 0.5
"""Light that misses the face counts as this share of the mean over all normals: a camera does not
lift a back-lit face all the way."""
_HARD = 8.0
"""Lights smaller than this many degrees stand exactly at one of the directions that transport is
traced for, since they fall on one of them alone."""


class Environment(Protocol):
    """An environment map of the asset pack."""

    @property
    def name(self) -> str: ...
    @property
    def radiance(self) -> Floats:
        """`(R, 2R, 3)` linear RGB in the convention of `pipeline.lighting.hdri`."""
    @property
    def held_out(self) -> bool:
        """Whether it is for testing only."""


@dataclass(frozen=True, slots=True)
class SampledLight:
    """A lighting and where it came from."""

    radiance: LightMap
    """`(32, 64, 3)` float32, linear, world space. A face under it has a mean irradiance of about
    pi, so that the picture of a surface of albedo a is at about a; dim lightings are below."""
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
        environments: those of the pack; the ones held out are drawn for `test` only, the others
            for `train` only.
        split: what the lighting is for.

    Raises:
        ValueError: the pack has no environment for that split.
    """
    usable = [item for item in environments if item.held_out == (split == "test")]
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
    return SampledLight(radiance, kind, f"{kind}{name}, main light at {place[0]:+.0f} {place[1]:+.0f}")


def expose(radiance: LightMap, brightness: float = 1.0) -> LightMap:
    """The lighting scaled until a face is lit with a mean irradiance of `brightness` times pi."""
    sh = to_sh(radiance)
    level = max(luminance(exposure(sh)), _FROM_BEHIND * MEAN * luminance(sh[0]))
    result: LightMap = (radiance * (_EXPOSURE * brightness / level)).astype(np.float32)
    return result


def rotate(radiance: Floats, yaw: float, pitch: float = 0.0) -> LightMap:
    """The surroundings turned about the vertical, then tilted towards the camera's up.

    Args:
        radiance: `(R, 2R, 3)`.
        yaw: degrees; positive moves a light in front of the person towards +x, as its azimuth.
        pitch: degrees; positive lifts what is in front.

    Returns:
        `(32, 64, 3)`.
    """
    rows, columns = radiance.shape[:2]
    vectors, _ = map_directions(rows, columns)
    a, e = math.radians(yaw), math.radians(pitch)
    turn = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    tilt = np.array([[1, 0, 0], [0, math.cos(e), math.sin(e)], [0, -math.sin(e), math.cos(e)]])
    source = vectors @ (tilt @ turn)  # the transpose, row by row: back to where it came from
    azimuth = np.arctan2(source[..., 0], source[..., 2])
    elevation = np.arcsin(np.clip(source[..., 1], -1, 1))
    x = (0.5 - azimuth / (2 * math.pi)) * columns - 0.5
    y = np.clip((0.5 - elevation / math.pi) * rows - 0.5, 0, rows - 1)
    wrapped = np.concatenate([radiance[:, -1:], radiance, radiance[:, :1]], axis=1)
    turned = cv2.remap(
        wrapped.astype(np.float32),
        (x + 1).astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    result: LightMap = cv2.resize(turned, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return result


def _environment(rng: np.random.Generator, radiance: Floats, yaw: float) -> LightMap:
    towards = dominant_direction(to_sh(_small(radiance)))
    own = math.degrees(math.atan2(towards[0], towards[2]))
    light = rotate(radiance, yaw - own, float(rng.normal(0, 12)))
    if rng.random() < 0.3:  # somebody's blind is down, or a lamp stands on the desk as well
        lamp = _lamp(rng, float(rng.uniform(-YAW, YAW)), float(rng.uniform(-20, 50)))
        light = light + lamp * (_energy(light) / _energy(lamp) * 2 ** rng.uniform(-2, 1))
    return light * (temperature_rgb(_kelvin(rng)) if rng.random() < 0.5 else 1.0)


def _studio(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    size = float(np.exp(rng.uniform(math.log(5), math.log(40))))
    kelvin = _kelvin(rng)
    light = _blob(yaw, pitch, size) * temperature_rgb(kelvin)
    for _ in range(int(rng.integers(3))):
        side = float(-np.sign(yaw) * rng.uniform(20, 150))
        colour = temperature_rgb(float(np.clip(kelvin * rng.uniform(0.7, 1.4), 2200, 12000)))
        fill = _box(rng, side, float(rng.uniform(-20, 45)), rng.uniform(15, 50, 2))
        light += fill * colour * (_energy(light) / _energy(fill) * rng.uniform(0.05, 0.6))
    return light + _room(rng, light, 0.03, 0.6)


def _hard(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    light = _blob(yaw, pitch, float(rng.uniform(2.5, 6))) * temperature_rgb(_kelvin(rng))
    return light + _room(rng, light, 0.04, 0.3)


def _window(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    yaw = math.copysign(max(abs(yaw), 25.0), yaw)
    pane = _box(rng, yaw, float(rng.uniform(5, 30)), rng.uniform((25, 30), (70, 60)))
    vectors, _ = map_directions()
    sky, ground = temperature_rgb(float(rng.uniform(6000, 10000))), temperature_rgb(5500.0) * 0.4
    share = np.clip(vectors[..., 1:2] * 3 + 0.5, 0, 1)
    light = pane * (sky * share + ground * (1 - share))
    return light + _room(rng, light, 0.08, 0.5)


def _screen(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    """A monitor or a phone before the person, its colour that of what it shows."""
    colour = _hue(float(rng.random()), float(rng.uniform(0.1, 0.8)))
    place = float(np.clip(rng.normal(0, 18), -45, 45)), float(rng.uniform(-35, 2))
    light = _box(rng, *place, rng.uniform((20, 14), (55, 32))) * colour
    if rng.random() < 0.5:
        lamp = _lamp(rng, yaw, abs(pitch))
        light += lamp * (_energy(light) / _energy(lamp) * rng.uniform(0.1, 0.8))
    return light + _room(rng, light, 0.05, 0.4)


def _golden_hour(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    sun = _blob(yaw, float(rng.uniform(3, 18)), float(rng.uniform(4, 9)))
    light = sun * temperature_rgb(float(rng.uniform(2200, 3600)))
    vectors, angle = map_directions()
    height = vectors[..., 1:2]
    glow = np.exp(-((height / 0.25) ** 2)) * temperature_rgb(3600.0)
    dome = np.where(height > 0, temperature_rgb(10000.0), temperature_rgb(5000.0) * 0.35) + glow
    dome /= (dome * angle[..., None]).sum() / 3
    return light + dome * (_energy(light) * rng.uniform(0.2, 0.9))


def _neon(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    """Two lights of different strong colours from two sides."""
    hue = float(rng.random())
    yaw = math.copysign(max(abs(yaw), 30.0), yaw)
    first = _box(rng, yaw, pitch * 0.5, rng.uniform(10, 50, 2)) * _hue(hue, 0.9)
    other = (hue + float(rng.uniform(0.25, 0.75))) % 1
    second = _box(rng, -yaw * rng.uniform(0.6, 1.2), pitch * 0.3, rng.uniform(10, 50, 2))
    light = first + second * _hue(other, 0.9) * (
        _energy(first) / _energy(second) * rng.uniform(0.3, 1.0)
    )
    return light + _room(rng, light, 0.05, 0.3)


def _low_light(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    light = _lamp(rng, yaw, pitch)
    return light + _room(rng, light, 0.1, 0.8)


def _overcast(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    """Light from nearly all around, a little more from one side."""
    vectors, _ = map_directions()
    lean = np.clip(0.5 + 0.5 * vectors @ direction(yaw, pitch), 0, 1)[..., None]
    dome = 1 - rng.uniform(0.2, 0.9) + lean ** rng.uniform(1, 4)
    ground = np.where(vectors[..., 1:2] < 0, rng.uniform(0.3, 1.0), 1.0)
    return np.asarray(dome * ground * temperature_rgb(_kelvin(rng)), np.float32)


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


def _lamp(rng: np.random.Generator, yaw: float, pitch: float) -> LightMap:
    colour = temperature_rgb(float(rng.uniform(2400, 4200)))
    return _blob(yaw, pitch, float(rng.uniform(5, 20))) * colour


def _room(rng: np.random.Generator, light: LightMap, low: float, high: float) -> LightMap:
    """What walls, ceiling and floor give back: `low`..`high` of the light's energy, evenly on a
    logarithmic scale, brighter above or below."""
    vectors, angle = map_directions()
    gradient = 1 + rng.uniform(-0.7, 0.7) * vectors[..., 1:2]
    mean = (light * angle[..., None]).sum((0, 1))
    mean /= luminance(mean)
    colour = (0.5 * mean + 0.5) * temperature_rgb(float(rng.uniform(4000, 7500)))
    share = float(np.exp(rng.uniform(math.log(low), math.log(high))))
    room = gradient * colour
    return np.asarray(room * (_energy(light) * share / _energy(room)), np.float32)


def _blob(yaw: float, pitch: float, sigma: float) -> LightMap:
    """A round light with a Gaussian edge of `sigma` degrees, grey."""
    centre = direction(yaw, pitch)
    if sigma < _HARD:
        centre = sphere_directions()[int(np.argmax(sphere_directions() @ centre))]
    vectors, _ = map_directions()
    spread = math.radians(sigma)
    value = np.exp((vectors @ centre - 1) / spread**2)  # von Mises-Fisher
    return np.repeat(value[..., None], 3, axis=2).astype(np.float32)


def _box(rng: np.random.Generator, yaw: float, pitch: float, size: Floats) -> LightMap:
    """A rectangle of `size` degrees (width, height) seen from the person, a little turned, grey."""
    vectors, _ = map_directions()
    forward = direction(yaw, pitch)
    right = direction(yaw + 90.0, 0.0)
    up = np.cross(forward, right)
    roll = float(rng.normal(0, 0.12))
    axis = math.cos(roll) * right + math.sin(roll) * up
    other = math.cos(roll) * up - math.sin(roll) * right
    ahead = vectors @ forward
    place = np.stack([vectors @ axis, vectors @ other], -1) / np.maximum(ahead, 1e-3)[..., None]
    half = np.tan(np.radians(np.asarray(size)) / 2)
    edge = np.clip((half - np.abs(place)) / 0.08 + 0.5, 0, 1).prod(-1) * (ahead > 0.1)
    return np.repeat(edge[..., None], 3, axis=2).astype(np.float32) + np.float32(1e-6)


def _kelvin(rng: np.random.Generator) -> float:
    """Around daylight, on the scale that eyes see evenly (the reciprocal)."""
    return float(1e6 / np.clip(rng.normal(175, 55), 85, 400))


def _hue(hue: float, saturation: float) -> Floats:
    """A linear RGB colour, between that of luminance 1 and that of brightest channel 1."""
    rgb = np.array(colorsys.hsv_to_rgb(hue, saturation, 1.0), np.float32)
    result: Floats = (rgb / (0.5 * rgb.max() + 0.5 * luminance(rgb))).astype(np.float32)
    return result


def _energy(light: LightMap) -> float:
    """Luminance of all the light together."""
    _, angle = map_directions()
    return luminance((light * angle[..., None]).sum((0, 1)))


def _small(radiance: Floats) -> LightMap:
    result: LightMap = cv2.resize(radiance, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return result
