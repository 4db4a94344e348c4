"""The lighting that an engine is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.light_map import LightMap
from vcam_relight.pipeline.lighting.lights import Light, lights_to_sh
from vcam_relight.pipeline.lighting.lobes import NO_LOBES, Lobes, map_lobes


@dataclass(frozen=True, slots=True, eq=False)
class Lighting:
    """A distant lighting, or one of two wishes that only an engine can fulfil.

    Only the light's shape and colour count: engines scale it so that a face gets as much of it as
    of the source lighting, as a camera's exposure would, and leave brightness to
    `RelightSettings.intensity`.
    """

    mode: Literal["sh", "auto", "off"]
    """`sh`: the coefficients below; `auto`: whatever lifts this face out of the dark; `off`: the
    light that is there."""
    sh: FloatArray
    """`(9, 3)` RGB radiance, linear light, in the order and frame of `pipeline.lighting.sh`."""
    lobes: Lobes = NO_LOBES
    """The part of it that comes from lights with edges; included in `sh`."""
    exposure: float | None = None
    """Luminance that a face is to come out with, over that of a well exposed face; None: whatever
    the light makes of it."""

    def equals(self, other: "Lighting") -> bool:
        """Whether the same is asked for."""
        return self is other or (self.mode == other.mode and np.array_equal(self.sh, other.sh))

    @staticmethod
    def of_lights(
        lights: Sequence[Light], ambient: tuple[float, float, float], exposure: float | None = None
    ) -> "Lighting":
        """Lights in front of an even surrounding; see `lights_to_sh`."""
        sh = lights_to_sh(lights, ambient)
        return replace(Lighting.from_sh(sh, exposure), lobes=Lobes.of_lights(lights))

    @staticmethod
    def of_map(light: LightMap) -> "Lighting":
        """An environment `(32, 64, 3)`: its suns, windows and lamps, and the rest.

        Raises:
            ValueError: there is no light.
        """
        lobes, sh = map_lobes(light)
        return replace(Lighting.from_sh(sh), lobes=lobes)

    @staticmethod
    def from_sh(sh: FloatArray, exposure: float | None = None) -> "Lighting":
        """A lighting of `(9, 3)` RGB radiance coefficients, and an `exposure`.

        Raises:
            ValueError: wrong shape, not finite, or no light at all.
        """
        sh = np.asarray(sh, np.float32)
        if sh.shape != (9, 3):
            raise ValueError(f"a lighting has 9 x 3 SH coefficients, not {sh.shape}")
        if not np.isfinite(sh).all():
            raise ValueError("a lighting's SH coefficients must be finite numbers")
        if (sh[0] < 0).any() or not (sh[0] > 0).any():
            raise ValueError("the first SH coefficients (the mean light) must be above 0")
        return Lighting("sh", sh, NO_LOBES, exposure)


OFF = Lighting("off", np.zeros((9, 3), np.float32))
AUTO = Lighting("auto", np.zeros((9, 3), np.float32), exposure=1.0)
