"""The engine for machines without a network: light from face geometry.

Face mesh and mask give normals; skin pixels give the source lighting; the frame is multiplied by
the ratio of the target lighting's shading to the source lighting's.
"""

import numpy as np

from vcam_relight.pipeline.compositing.apply import CpuApplier
from vcam_relight.pipeline.compositing.background import wall_gain
from vcam_relight.pipeline.compositing.base import LightRequest
from vcam_relight.pipeline.compositing.face_exposure import FaceExposure, FaceGain
from vcam_relight.pipeline.compositing.gain import soft_limit
from vcam_relight.pipeline.compositing.portrait import MAP_SIDE, Portrait, shaded_by
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.color import luminance
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.head.crop import HeadCrop
from vcam_relight.pipeline.head.normals import NormalMapper
from vcam_relight.pipeline.head.pose import HeadFinder
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.adaptation import LightAdapter
from vcam_relight.pipeline.lighting.estimation import estimate_lighting, fit_lighting
from vcam_relight.pipeline.lighting.lift import Lift
from vcam_relight.pipeline.lighting.shading import log_ratio


class GeometryEngine:
    """Ratio relighting with MediaPipe's face geometry; CPU only."""

    name = "geometry"
    runs_on = "CPU"
    needs_faces = True
    card = None

    def __init__(self) -> None:
        self._mapper = NormalMapper()

    def open_stream(self, timer: StageTimer) -> "GeometryStream":
        """See `pipeline.engines.base.Engine`."""
        return GeometryStream(self._mapper, timer)

    def source_lighting(self, frame: BgrImage, faces: FaceState) -> FloatArray | None:
        """See `pipeline.engines.base.Engine`."""
        return estimate_lighting(FrameContext(frame, faces), self._mapper)

    def close(self) -> None:
        """Nothing is held."""


class GeometryStream:
    """See `pipeline.engines.base.Stream`."""

    effort = FULL

    def __init__(self, mapper: NormalMapper, timer: StageTimer) -> None:
        self._mapper = mapper
        self._timer = timer
        self._applier = CpuApplier(timer)
        self._adapter = LightAdapter()
        self._exposure = FaceExposure()
        self._finder = HeadFinder()
        self._last: tuple[FrameContext, FloatArray, FloatArray, Lift] | None = None
        """The last frame that was relit, its normals, source lighting and lift."""

    def relight(
        self, frame: BgrImage, faces: FaceState, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """See `pipeline.engines.base.Stream`; a frame without faces passes through."""
        self._last = None
        if not faces.faces:
            return frame
        with self._timer.stage("normals"):
            context = FrameContext(frame, faces, self.effort.analysis_side)
            normals, own = self._mapper.normals(faces, context.mask)
        with self._timer.stage("present light"):
            estimate = fit_lighting(context.image.linear, normals, context.skins, own)
            source = self._adapter.observe(estimate, faces.time)
            needed = self._adapter.lift(context)
            asked = self._adapter.target(lighting, settings, source, needed)
        self._last = context, normals, source, needed
        strength = max(face.weight for face in faces.faces) * settings.strength
        if strength == 0.0 or lighting.mode == "off":
            return frame
        with self._timer.stage("ratio"):
            target, linear = asked.light, context.image.linear
            ratio = soft_limit(log_ratio(source, target, normals))
            lift = asked.lift * np.float32(settings.intensity)
            if asked.exposure is not None:
                face = FaceGain.of(ratio, linear, context.skin)
                level = asked.exposure * settings.intensity
                lift = self._exposure.factor(face, asked.lift, level, lighting, faces.time)
            wall = wall_gain(
                source,
                target.sh * (lift / asked.lift),
                asked.lift,
                linear,
                context.mask,
                settings.background,
            )
        request = LightRequest(
            ratio, lift, wall, context.image, context.mask, (), strength, luminance(asked.lift)
        )
        return self._applier.apply(frame, request, None)

    def portrait(self) -> Portrait | None:
        """See `pipeline.engines.base.Stream`."""
        if self._last is None:
            return None
        context, normals, source, needed = self._last
        faces = context.faces.faces
        largest = max(faces, key=lambda face: float(np.ptp(face.landmarks[:, 1])))
        crop = HeadCrop.of(self._finder.find(largest.landmarks))
        small = crop.scaled(context.scale)
        return Portrait(
            crop.cut(context.frame, 128),
            small.cut_map(context.skin, MAP_SIDE),
            small.cut_map(context.mask, MAP_SIDE),
            source,
            needed,
            shaded_by(source, small.cut_map(normals, MAP_SIDE)),
        )

    def reset(self) -> None:
        """Forgets the frames before."""
        self._last = None
        self._adapter.reset()
        self._exposure.reset()
        self._applier.reset()

    def close(self) -> None:
        """Nothing is held."""
