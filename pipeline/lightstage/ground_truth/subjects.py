"""Who is rendered as ground truth, how, and in which lights: balanced, fixed, never trained on."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.evaluate.ground_truth import NamedLight
from vcam_relight.pipeline.lighting.light_map import (
    LightMap,
    map_directions,
    sphere_directions,
    to_sh,
)
from vcam_relight.pipeline.lighting.lights import direction, temperature_rgb
from vcam_relight.pipeline.lighting.sh import dominant_direction
from vcam_relight.pipeline.lightstage.animation.animation import VISEMES, follow_gaze
from vcam_relight.pipeline.lightstage.animation.pose import Pose
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack
from vcam_relight.pipeline.lightstage.camera.backdrop import surroundings
from vcam_relight.pipeline.lightstage.camera.framing import DISTANCE, HEIGHT, source_camera
from vcam_relight.pipeline.lightstage.core.scene import Part, PinholeCamera, Posed
from vcam_relight.pipeline.lightstage.light.light_sampler import expose
from vcam_relight.pipeline.lightstage.light.light_shapes import rotate
from vcam_relight.pipeline.lightstage.person.figure import Figure
from vcam_relight.pipeline.lightstage.person.identity import Identity, sample_identity
from vcam_relight.pipeline.lightstage.surface.skin import ITA_BINS

SIZE = 256
"""Pixels along each side of the images."""

_WANTED = ("beard", "glasses", "headwear", "any", "plain")
_EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {
        "mouthSmileLeft": 0.5,
        "mouthSmileRight": 0.5,
        "cheekSquintLeft": 0.4,
        "cheekSquintRight": 0.4,
    },
    VISEMES[0],
    {"browInnerUp": 0.6, "browOuterUpLeft": 0.4, "browOuterUpRight": 0.4},
    {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.6, "jawOpen": 0.12},
    {"browDownLeft": 0.5, "browDownRight": 0.5, "mouthPressLeft": 0.3, "mouthPressRight": 0.3},
    VISEMES[2],
)
_LARGEST_GAZE = 0.42
_BACKDROP = 64  # pixels of a backdrop's sides; it is out of focus
_HALL = 0.06  # radiance of a studio's walls, where a surface that faces the key receives pi


@dataclass(frozen=True)
class PosedSubject:
    """One person in one pose before one camera."""

    name: str
    tone: float
    """Individual typology angle of the skin, degrees."""
    description: dict[str, Any]
    parts: tuple[Part, ...]
    posed: Posed
    camera: PinholeCamera


def identities(start: int, number: int) -> Iterator[tuple[int, Identity]]:
    """Yields indices and people of the test split, from `start` on; equal indices are equal people.

    All skin tones come in turn, women and men alternate, and most have glasses, a head covering or
    a beard.
    """
    taken: set[int] = set()
    for index in range(start + number):
        found = next(
            identity
            for seed in count()
            if seed not in taken and _fits(identity := sample_identity(seed, "test"), index)
        )
        taken.add(found.seed)
        if index >= start:
            yield index, found


def pose_subject(pack: AssetPack, name: str, index: int, identity: Identity) -> PosedSubject:
    """Poses a person for the camera.

    Args:
        pack: the assets.
        name: of the subject.
        index: chooses head pose and expression.
        identity: who it is.
    """
    rng = np.random.default_rng([7, index])
    # Yaw goes through its range in even steps, in an order that looks random.
    yaw = math.radians(-35 + 70 * ((index * 0.6180339887) % 1))
    head = np.array([rng.uniform(-0.2, 0.2), yaw, rng.normal(0, 0.06)], np.float32)
    gaze = np.clip(-0.85 * head[:2], -_LARGEST_GAZE, _LARGEST_GAZE).astype(np.float32)
    expression = _EXPRESSIONS[index % len(_EXPRESSIONS)] | follow_gaze(float(gaze[0]), 0.0)
    figure = Figure(pack, identity, levels=1)
    posed = figure.pose(Pose(expression, head, np.zeros(3, np.float32), gaze))
    description = {
        "seed": identity.seed,
        "gender": round(identity.gender, 2),
        "age": round(identity.age, 2),
        "hair": identity.hair,
        "beard": identity.beard and identity.beard.style,
        "glasses": identity.glasses and identity.glasses.outline,
        "headwear": identity.headwear and identity.headwear.kind,
        "pitch, yaw, roll in degrees": [round(math.degrees(float(angle)), 1) for angle in head],
    }
    camera = source_camera(SIZE, posed.head[:3, 3])
    return PosedSubject(name, identity.skin.ita, description, figure.parts, posed, camera)


def named_lights(pack: AssetPack) -> dict[str, NamedLight]:
    """Makes the named lights of the ground truth.

    They are the test split's environments, each turned so that its main light stands elsewhere, and
    studios. All give a face a mean irradiance of about pi.

    Raises:
        ValueError: the asset pack holds no environment of the test split.
    """
    environments = [item for item in pack.hdris if item.split == "test"]
    if not environments:
        raise ValueError("the asset pack has no environment of the test split; make it anew")
    lights = {}
    for item, azimuth in zip(environments, (-70, 55, 15, -30, 95, -120), strict=False):
        towards = dominant_direction(to_sh(rotate(item.radiance, 0)))
        yaw = azimuth - math.degrees(math.atan2(towards[0], towards[2]))
        radiance = rotate(item.radiance, yaw)
        exposed = expose(radiance)
        backdrop = surroundings(radiance, (_BACKDROP, _BACKDROP), DISTANCE / HEIGHT)
        gain = np.float32(exposed.sum() / radiance.sum())
        lights[item.name.rpartition("/")[2]] = NamedLight(exposed, backdrop * gain)
    for name, radiance in _studios().items():
        lights[name] = NamedLight(expose(radiance), None)
    return lights


def _fits(identity: Identity, index: int) -> bool:
    """Whether a person is what the subject of an index shall be."""
    low, high = ITA_BINS[index % len(ITA_BINS)]
    man = (index + index // len(ITA_BINS)) % 2 == 1
    wanted = _WANTED[index % len(_WANTED)]
    glasses, covered = identity.glasses is not None, identity.headwear is not None
    if (identity.glasses and identity.glasses.tint) or (glasses and covered):
        return False  # nobody in a meeting hides that much
    if wanted == "beard" and man and identity.beard is None:
        return False
    if wanted != "any" and (glasses != (wanted == "glasses") or covered != (wanted == "headwear")):
        return False
    return low <= identity.skin.ita < high and (identity.gender >= 0.5) == man


def _studios() -> dict[str, LightMap]:
    warm, cool = temperature_rgb(3600.0), temperature_rgb(9000.0)
    white = np.ones(3, np.float32)
    red, blue = np.array([1.5, 0.55, 0.3], np.float32), np.array([0.25, 0.75, 2.2], np.float32)
    # A small light stands exactly at one of the directions of a one-light-at-a-time set.
    lamps = sphere_directions(64)
    lamp = lamps[int(np.argmax(lamps @ direction(50, 25)))]
    return {
        "key left": _lamp(direction(-55, 30), 14, white) + _hall(),
        "key right": _lamp(direction(55, 30), 14, white) + _hall(),
        "top": _lamp(direction(0, 75), 18, white) + _hall(),
        "rim and fill": _lamp(direction(140, 20), 16, warm)
        + _lamp(direction(-35, 5), 30, cool) * 0.35
        + _hall(),
        "soft front": _lamp(direction(0, 12), 38, white) + _hall(),
        "two colours": _lamp(direction(-65, 5), 22, blue)
        + _lamp(direction(65, 10), 22, red)
        + _hall() * 0.5,
        "hard lamp": _lamp(lamp, 3, warm) + _hall(),
    }


def _lamp(towards: FloatArray, sigma: float, rgb: FloatArray) -> LightMap:
    """A round light with a Gaussian edge of `sigma` degrees, of irradiance pi on what faces it."""
    vectors, angle = map_directions()
    falloff = np.exp((vectors @ towards - 1) / math.radians(sigma) ** 2)
    falloff *= math.pi / float((falloff * angle * np.maximum(vectors @ towards, 0)).sum())
    return np.asarray(falloff[..., None] * rgb, np.float32)


def _hall() -> LightMap:
    """What a dim studio's walls give back, more from above."""
    vectors, _ = map_directions()
    return np.asarray(_HALL * (1 + 0.5 * vectors[..., 1:2]) * np.ones(3), np.float32)
