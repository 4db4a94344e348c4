"""From the lighting that there is and the one that is asked for to the lighting of the next frame.

One policy for all engines: what a target lighting is scaled to, how a dark face is lifted and its
light made white, and what happens to both while a face is lost.
"""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.color import luminance
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.lighting.auto import auto_lighting
from vcam_relight.pipeline.lighting.color_trust import color_trust
from vcam_relight.pipeline.lighting.exposure import AMBIENT, exposure_level
from vcam_relight.pipeline.lighting.lift import NO_LIFT, Lift, log_lift
from vcam_relight.pipeline.lighting.light_level import level_features, shipped_model
from vcam_relight.pipeline.lighting.lighting import Lighting
from vcam_relight.pipeline.lighting.lobes import NO_LOBES, DistantLight, Lobes
from vcam_relight.pipeline.lighting.target import (
    blend_ambient,
    lighting_difference,
    warmth_rgb,
)
from vcam_relight.pipeline.lighting.temporal import SmoothedValue, SmoothingParams

_NEUTRAL: FloatArray = np.ones(3, np.float32)


@dataclass(frozen=True, slots=True)
class LiftTiming:
    """How the lift follows the room."""

    interval_s: float = 0.2
    """Media time between two looks at the room."""
    time_constant_s: float = 1.2
    """Of its natural logarithm: a lamp that is switched on eases in..."""
    dead_band: float = 0.04
    """...and what changes by less is not followed: nothing pumps."""


_TIMING = LiftTiming()


@dataclass(frozen=True, slots=True, eq=False)
class TargetLighting:
    """The lighting that a frame is to have, but for `RelightSettings.intensity`."""

    sh: FloatArray
    """`(9, 3)` RGB radiance of about exposure 1, less for light from behind; fill included."""
    lobes: Lobes
    """The part of it that comes from lights with edges."""
    tint: FloatArray
    """`(3,)` RGB of luminance 1, by warmth."""
    lift: FloatArray
    """`(3,)` RGB how much more of it there is to be than of the source lighting."""
    exposure: float | None
    """See `Lighting.exposure`."""

    @property
    def light(self) -> DistantLight:
        """All of it, tint included."""
        return DistantLight(
            np.asarray(self.sh * self.tint, np.float32), self.lobes.times(self.tint)
        )


class LightAdapter:
    """Follows the source lighting of one stream, and the lift that its faces need."""

    def __init__(self) -> None:
        self._source = SmoothedValue()
        self._lift = SmoothedValue(SmoothingParams(_TIMING.time_constant_s, _TIMING.dead_band))
        self._looked: float | None = None
        """Media time of the last look at the room."""
        self._seen: FloatArray | None = None
        """`(3,)` the logarithm of the lift that it told."""

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

    def lift(self, context: FrameContext) -> Lift:
        """What takes the faces of a frame to good exposure under white light, smoothed."""
        time = context.faces.time
        if self._looked is None or not 0 <= time - self._looked < _TIMING.interval_s:
            # A face that is lost fades out in the light that it had: without skin nothing tells
            # how dark it is.
            features = level_features(context)
            if features is not None:
                log_gain = shipped_model().log_gain(features.values)
                trust = color_trust(context.image.bgr) * features.skin_trust
                self._seen, self._looked = log_lift(log_gain, features.skin, trust), time
        value = self._lift.update(self._seen, time)
        return NO_LIFT if value is None else Lift.of(value)

    @staticmethod
    def target(
        lighting: Lighting, settings: RelightSettings, source: FloatArray, lift: Lift
    ) -> TargetLighting:
        """The lighting of a frame.

        Args:
            lighting: what is asked for; `off`: the source lighting, whatever the settings.
            settings: the user's controls.
            source: `(9, 3)` the source lighting, smoothed: that of `observe`, or an engine's own.
            lift: of the frame, which a light of its own goes with.
        """
        if lighting.mode == "off":
            return TargetLighting(source, NO_LOBES, _NEUTRAL, _NEUTRAL, None)
        if lighting.mode == "auto":
            lobes = NO_LOBES
            sh = auto_lighting(source, max(luminance(lift.rgb), 1.0))
        else:
            scale = 1 / exposure_level(lighting.sh)
            sh, lobes = lighting.sh * np.float32(scale), lighting.lobes.times(scale)
        sh, lobes = blend_ambient(sh, settings.fill), lobes.times(1 - settings.fill)
        tint, gain = warmth_rgb(settings.warmth), lift.rgb
        if lighting.exposure is None:
            # Asking for the light that there is changes nothing, dark as it may be.
            gain = gain ** np.float32(lighting_difference(source, sh * tint))
        return TargetLighting(sh, lobes, tint, gain, lighting.exposure)

    def forget_source(self) -> None:
        """Forgets the source lighting, but not the lift."""
        self._source.reset()

    def reset(self) -> None:
        """Forgets the frames before."""
        self._source.reset()
        self._lift.reset()
        self._looked = self._seen = None
