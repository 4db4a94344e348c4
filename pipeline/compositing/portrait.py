"""A head shown small, in any light: what the panel's presets are chosen by.

What costs most, finding the head and its shape, was done for the frame; here it is shaded once more
for each light, at a size of which a core makes many hundreds a second.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from vcam_relight.pipeline.compositing.background import wall_gain
from vcam_relight.pipeline.compositing.face_exposure import FaceExposure, FaceGain
from vcam_relight.pipeline.compositing.gain import highlight_rolloff, soft_limit
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.color import SRGB_GAMMA, SRGB_OFFSET, linear_rgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map, RgbGain
from vcam_relight.pipeline.core.resample import quick_resize, resize
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.adaptation import LightAdapter
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.lift import NO_LIFT, Lift
from vcam_relight.pipeline.lighting.lobes import DistantLight
from vcam_relight.pipeline.lighting.shading import log_ratio

MAP_SIDE = 64
"""Pixels of the maps that portraits are shaded with."""

GainOf = Callable[[DistantLight, RelightSettings], RgbGain]
"""The `(64, 64, 3)` gain of the crop under a target lighting of exposure 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A square crop about a head, and what shades it. Any thread may use it."""

    image: BgrImage
    """`(n, n, 3)`, n at least 64."""
    skin: Map
    """`(64, 64)` 0..1, which tells how bright the face comes out."""
    person: Map
    """`(64, 64)` 0..1; the rest is background."""
    source: FloatArray
    """`(9, 3)` the source lighting, smoothed, of exposure 1."""
    lift: Lift
    """What takes the face to good exposure."""
    gain_of: GainOf

    def under(self, lighting: Lighting, settings: RelightSettings) -> BgrImage:
        """`(n, n, 3)` the head in a lighting.

        What takes a whole frame is left out: noise, a turned view, frames before.
        """
        if lighting.mode == "off" or settings.strength == 0:
            return self.image
        linear = linear_rgb(quick_resize(self.image, (MAP_SIDE, MAP_SIDE)))
        asked = LightAdapter.target(lighting, settings, self.source, self.lift)
        gain = self.gain_of(asked.light, settings)
        lift = asked.lift * np.float32(settings.intensity)
        if asked.exposure is not None:
            level = asked.exposure * settings.intensity
            face = FaceGain.of(gain, linear, self.skin)
            lift = FaceExposure().factor(face, asked.lift, level, lighting, 0.0)
        gain = gain * lift
        light = asked.light.sh * (lift / asked.lift)
        wall = wall_gain(self.source, light, asked.lift, linear, self.person, settings.background)
        behind = np.float32(1) if wall is None else wall
        gain = highlight_rolloff(behind + (gain - behind) * self.person[..., None], linear)
        return _times(self.image, 1 + (gain - 1) * np.float32(settings.strength))


def shaded_by(source: FloatArray, normals: FloatArray) -> GainOf:
    """The gain of surfaces of which no more is known than where they face.

    Args:
        source: `(9, 3)` radiance of the light that is there.
        normals: `(64, 64, 3)` unit vectors in camera space.
    """
    return lambda light, settings: soft_limit(log_ratio(source, light, normals))


@cache
def ball() -> Portrait:
    """A plain ball in even light: what shows a light where there is no head."""
    side = 128
    span = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    x, y = np.meshgrid(span, -span)
    radius = np.float32(0.82)
    inside = np.clip((radius - np.hypot(x, y)) * side / 2 + 0.5, 0, 1)
    z = np.sqrt(np.maximum(radius * radius - x * x - y * y, 1e-4))
    normals = np.dstack([x, y, z])
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    wall, clay = np.array([30, 26, 24]), np.array([128, 142, 160])
    image = (wall + (clay - wall) * inside[..., None]).astype(np.uint8)
    half = (MAP_SIDE, MAP_SIDE)
    shape: FloatArray = resize(normals.astype(np.float32), half)
    person: Map = resize(inside.astype(np.float32), half)
    return Portrait(image, person, person, AMBIENT, NO_LIFT, shaded_by(AMBIENT, shape))


def _times(image: BgrImage, gain: RgbGain) -> BgrImage:
    """An encoded BGR image times a gain of linear RGB light, by sRGB's power segment."""
    size = image.shape[1::-1]
    root = cv2.pow(np.maximum(gain, 0), 1 / SRGB_GAMMA)[..., ::-1]
    factor = cv2.resize(np.ascontiguousarray(root), size, interpolation=cv2.INTER_LINEAR)
    offset = np.float32(255 * SRGB_OFFSET)
    lit = (image + offset) * factor - offset
    return np.asarray(np.clip(lit + np.float32(0.5), 0, 255), np.uint8)
