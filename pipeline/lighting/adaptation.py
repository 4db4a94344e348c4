"""From the lighting that there is and the one that is asked for to the lighting of the next frame.

One policy for all engines: what a target lighting is scaled to, how `auto` lifts a face, and what
happens to both while a face is lost.
"""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.lighting.auto import auto_lift, auto_lighting
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.lighting import Lighting
from vcam_relight.pipeline.lighting.target import blend_ambient, normalize_exposure, warmth_rgb
from vcam_relight.pipeline.lighting.temporal import SmoothedValue

_NEUTRAL: FloatArray = np.ones(3, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class TargetLighting:
    """The lighting that a frame is to have, but for `RelightSettings.intensity`."""

    sh: FloatArray
    """`(9, 3)` RGB radiance of about exposure 1, less for light from behind; fill included."""
    tint: FloatArray
    """`(3,)` RGB of luminance 1, by warmth."""
    lift: float
    """How much brighter than the source lighting `auto` makes it, 1 and up; else 1."""

    @property
    def radiance(self) -> FloatArray:
        """`(9, 3)` all of it in one."""
        return np.asarray(self.sh * (self.tint * np.float32(self.lift)), np.float32)


class LightAdapter:
    """Follows the source lighting of one stream, and the lift that `auto` gives."""

    def __init__(self) -> None:
        self._source = SmoothedValue()
        self._lift = SmoothedValue()

    def observe(self, estimate: FloatArray | None, time: float) -> FloatArray:
        """The source lighting, smoothed.

        Args:
            estimate: `(9, 3)` RGB radiance of exposure 1 from one frame; None where too little
                skin is visible, and what is known holds.
            time: media time of the frame in seconds.

        Returns:
            `(9, 3)`; even light as long as nothing is known.
        """
        source = self._source.update(estimate, time)
        return AMBIENT if source is None else source

    def target(
        self,
        lighting: Lighting,
        settings: RelightSettings,
        source: FloatArray,
        context: FrameContext,
    ) -> TargetLighting:
        """The lighting of a frame.

        Args:
            lighting: what is asked for; `off`: the source lighting, whatever the settings.
            settings: the user's controls.
            source: `(9, 3)` the source lighting, smoothed: that of `observe`, or an engine's own.
            context: the frame.
        """
        if lighting.mode == "off":
            return TargetLighting(source, _NEUTRAL, 1.0)
        if lighting.mode == "auto":
            sh, lift = auto_lighting(source), self._follow_lift(context)
        else:
            self._lift.reset()
            sh, lift = normalize_exposure(lighting.sh), 1.0
        return TargetLighting(blend_ambient(sh, settings.fill), warmth_rgb(settings.warmth), lift)

    def reset(self) -> None:
        """Forgets the frames before."""
        self._source.reset()
        self._lift.reset()

    def _follow_lift(self, context: FrameContext) -> float:
        # A face that is lost fades out in the light that it had: without skin nothing tells how
        # dark it is.
        observed = None
        if context.skins or self._lift.value is None:
            observed = np.array([auto_lift(context)], np.float32)
        value = self._lift.update(observed, context.faces.time)
        return 1.0 if value is None else float(value[0])
