"""The light that the paper's network is asked for.

The network takes nine gray coefficients in the project's order and camera space, as large as DPR
(Zhou et al. 2019) estimates them from photographs, for that is what it was trained with. Colour,
brightness and warmth are laid over its picture in linear light.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.color import (
    LUMINANCE_RGB,
    decode_srgb,
    encode_srgb,
    linear_rgb,
    luminance,
)
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.engines.geometry.engine import GeometryEngine
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.head.normals import grid_size
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.auto import auto_gain, auto_target
from vcam_relight.pipeline.lighting.estimation import follow, skin_mask
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.target import filled, levelled, warmth_rgb

EXPOSURE = 0.75
"""Exposure, as of `pipeline.lighting.estimation`, of what the network calls a normal light: 0.77 is
the mean of the lights of the paper's example picture, 0.68 that of its example video."""

LightEstimator = Callable[[FaceState, BgrImage], FloatArray | None]
"""Faces and the frame they are in to `(9, 3)` RGB radiance of exposure 1, the light on them; None
where it cannot tell. `GeometryEngine.present_light` is one, `DprLight` of
`pipeline.engines.paper.dpr` another."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A light as the network takes it, and what is left for its picture."""

    sh: FloatArray
    """`(9,)` gray SH coefficients in the network's scale."""
    gain: FloatArray
    """`(3,)` BGR, of linear light."""


@dataclass
class LightMemory:
    """What is believed of the light of one stream."""

    present: FloatArray | None = None
    """`(9, 3)` of exposure 1."""
    lift: FloatArray | None = None
    """`(1,)` by how much `auto` brightens."""
    time: float = 0.0

    def reset(self) -> None:
        """Forget the stream."""
        self.present = None
        self.lift = None


class LightSetter:
    """Turns what the user asks for into what the network takes."""

    def __init__(self, estimate: LightEstimator | None = None) -> None:
        """Args:
        estimate: of the present light; by default that of the geometry engine.
        """
        self.estimate = estimate or _geometry_estimate

    def wanted(
        self,
        frame: BgrImage,
        faces: FaceState,
        lighting: Lighting,
        settings: RelightSettings,
        memory: LightMemory,
    ) -> Wanted:
        """The light for one frame. `off` is the light that is there: for another view of it."""
        if lighting.mode == "sh":
            memory.reset()
            return _of(levelled(lighting.sh), settings)
        dt, memory.time = faces.time - memory.time, faces.time
        seen = self.estimate(faces, frame)
        if seen is not None:
            memory.present = follow(memory.present, seen, dt)
        present = AMBIENT if memory.present is None else memory.present
        if lighting.mode == "off":
            return _of(present, RelightSettings())
        wish = np.array([_lift(frame, faces)], np.float32)
        memory.lift = follow(memory.lift, wish, dt)
        return _of(auto_target(present), settings, float(memory.lift[0]))


def _geometry_estimate(faces: FaceState, frame: BgrImage) -> FloatArray | None:
    return GeometryEngine().source_lighting(frame, faces)


def _of(target: FloatArray, settings: RelightSettings, lift: float = 1.0) -> Wanted:
    lit = filled(target, settings.fill)
    colour = lit[0] / luminance(lit[0]) * warmth_rgb(settings.warmth)
    sh = lit @ LUMINANCE_RGB * np.float32(EXPOSURE)
    gain = colour[::-1] * np.float32(settings.intensity * lift)
    return Wanted(np.asarray(sh, np.float32), np.asarray(gain, np.float32))


def _lift(frame: BgrImage, faces: FaceState) -> float:
    size = grid_size(*faces.size)
    linear = linear_rgb(resize(frame, size))
    return auto_gain(linear, resize(faces.mask, size), skin_mask(faces.faces, faces.size))


def lit(image: FloatArray, gain: FloatArray) -> FloatArray:
    """`(h, w, 3)` sRGB-encoded BGR, 0..1, with its linear light multiplied by `gain` `(3,)`; what
    clips is cut off.
    """
    return encode_srgb(decode_srgb(np.clip(image, 0.0, 1.0)) * gain)
