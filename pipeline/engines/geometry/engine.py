"""The first engine: light from geometry, no network that relights.

Face mesh and mask give normals; skin pixels give the present light; the frame is multiplied by
the ratio of the shading asked for to the shading there is.
"""

import cv2
import numpy as np

from vcam_relight.pipeline.compositing.background import background_gain
from vcam_relight.pipeline.compositing.base import LightChange
from vcam_relight.pipeline.compositing.choose import fastest_compositor
from vcam_relight.pipeline.compositing.gain import highlight_rolloff, soft_limit
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.color import linear_rgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.head.normals import NormalMapper, grid_size
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.auto import auto_gain, auto_target
from vcam_relight.pipeline.lighting.estimation import estimate, follow, skin_mask
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.shading import log_ratio
from vcam_relight.pipeline.lighting.target import adjusted, levelled


class GeometryEngine:
    """Ratio relighting with MediaPipe's face geometry; CPU only."""

    name = "geometry"
    needs_faces = True

    def __init__(self) -> None:
        self._mapper = NormalMapper()

    def open_stream(self, timer: StageTimer) -> "GeometryStream":
        """See `pipeline.engines.base.Engine`."""
        return GeometryStream(self._mapper, timer)

    def source_lighting(self, frame: BgrImage, faces: FaceState) -> FloatArray | None:
        """See `pipeline.engines.base.Engine`."""
        width, height = grid_size(*faces.size)
        small = resize(frame, (width, height))
        linear = linear_rgb(small)
        normals, own = self._mapper.normals(faces, resize(faces.mask, (width, height)))
        return estimate(linear, normals, skin_mask(faces.faces, faces.size), own)

    def close(self) -> None:
        """Nothing is held."""


class GeometryStream:
    """See `pipeline.engines.base.Stream`."""

    def __init__(self, mapper: NormalMapper, timer: StageTimer) -> None:
        self._mapper = mapper
        self._timer = timer
        self._compositor = fastest_compositor()
        self._present: FloatArray | None = None
        self._gain: FloatArray | None = None
        self._time = 0.0

    def reset(self) -> None:
        """Forgets the frames before."""
        self._present = None
        self._gain = None

    def close(self) -> None:
        """Nothing is held."""

    def relight(
        self, frame: BgrImage, faces: FaceState, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """See `pipeline.engines.base.Stream`; a frame without faces passes through."""
        if not faces.faces or lighting.mode == "off":
            return frame
        weight = max(face.weight for face in faces.faces) * settings.strength
        width, height = grid_size(*faces.size)
        with self._timer.stage("normals"):
            small = resize(frame, (width, height))
            linear = linear_rgb(small)
            mask = resize(faces.mask, (width, height))
            normals, own = self._mapper.normals(faces, mask)
        with self._timer.stage("present light"):
            skins = skin_mask(faces.faces, faces.size)
            seen = estimate(linear, normals, skins, own)
            dt, self._time = faces.time - self._time, faces.time
            if seen is not None:
                self._present = follow(self._present, seen, dt)
            present = AMBIENT if self._present is None else self._present
            if lighting.mode == "auto":
                if skins or self._gain is None:
                    wanted = np.array([auto_gain(linear, mask, skins)], np.float32)
                    self._gain = follow(self._gain, wanted, dt)
                target = auto_target(present) * self._gain
            else:
                self._gain = None
                target = levelled(lighting.sh)
        if weight == 0.0:
            return frame
        with self._timer.stage("ratio"):
            target = adjusted(target, settings) * np.float32(settings.intensity)
            gain = highlight_rolloff(soft_limit(log_ratio(present, target, normals)), linear)
            background = background_gain(present, target, linear, settings.background)
            luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        with self._timer.stage("composition"):
            change = LightChange(gain, mask, luma, background, strength=weight)
            return self._compositor.apply(frame, change)
