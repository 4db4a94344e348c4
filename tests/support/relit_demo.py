"""A subject for the evaluation made of the demo clip: its face with known normals and albedo,
shaded under known lights. It is no render, but every answer about it is known."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from support.demo import demo_frames
from vcam_relight.pipeline.core.color import DECODE_8BIT
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.face.frame_context import analysis_size
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.head.normals import NormalMapper
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.lights import Light, lights_to_sh
from vcam_relight.pipeline.lighting.sh import irradiance

_AMBIENT = (0.5, 0.5, 0.5)
LIGHTS = {
    "front": lights_to_sh([Light(5.0, 15.0, (1.0, 1.0, 1.0), 0.6)], _AMBIENT),
    "left": lights_to_sh([Light(-60.0, 15.0, (1.5, 1.5, 1.5), 0.4)], _AMBIENT),
    "right": lights_to_sh([Light(60.0, 15.0, (1.6, 1.5, 1.3), 0.4)], _AMBIENT),
    "top": lights_to_sh([Light(0.0, 65.0, (1.3, 1.5, 1.7), 0.4)], _AMBIENT),
}
"""`(9, 3)` by name."""


@dataclass(frozen=True)
class RelitDemo:
    """See `pipeline.evaluate.cases.Subject`."""

    name: str
    tone: float
    alpha: Map
    albedo: FloatArray
    normal: FloatArray
    renderer: str = "shading"
    lights: tuple[str, ...] = tuple(LIGHTS)

    def sh(self, light: str) -> FloatArray:
        return LIGHTS[light]

    def lighting(self, light: str) -> Lighting:
        return Lighting.from_sh(LIGHTS[light])

    def lit(self, light: str) -> FloatArray:
        shading = np.maximum(irradiance(LIGHTS[light], self.normal), 0.05) / np.pi
        return np.asarray(self.albedo * shading, np.float32)

    def backdrop(self, light: str) -> None:
        return None


@cache
def relit_demo(name: str = "demo", tone: float = 35.0, darker: float = 1.0) -> RelitDemo:
    """The subject; `darker` multiplies its albedo."""
    frame = _square(demo_frames(1)[0])
    state = FaceTracker(StageTimer()).still(frame)
    width, height = analysis_size(*state.size, FULL.analysis_side)
    mask = resize(state.mask, (width, height))
    normals, _ = NormalMapper().normals(state, mask)
    linear = DECODE_8BIT[resize(frame, (width, height))[..., ::-1]]
    # The clip is lit softly from the front: what is left of that in the albedo does no harm.
    albedo = np.clip(linear / max(float(np.percentile(linear, 99)), 0.1) * 0.7, 0.01, 0.9)
    alpha = np.clip((mask - 0.3) / 0.4, 0.0, 1.0)
    albedo = albedo * darker * alpha[..., None]
    return RelitDemo(name, tone, alpha, albedo.astype(np.float32), normals)


def _square(frame: BgrImage) -> BgrImage:
    """The middle of a wide frame."""
    height, width = frame.shape[:2]
    left = (width - height) // 2
    return np.ascontiguousarray(frame[:, left : left + height])
