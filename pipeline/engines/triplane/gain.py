"""The gain of a head under a light, made on the CPU or on a card, and only when it is needed."""

from collections.abc import Callable

from vcam_relight.pipeline.core.image import RgbGain
from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.engines.triplane.cuda_shading import MOST_LOBES, CudaShading
from vcam_relight.pipeline.engines.triplane.head_estimate import (
    HeadEstimate,
    LightOfGain,
    PreparedGain,
)
from vcam_relight.pipeline.engines.triplane.network.refiner import Refiner
from vcam_relight.pipeline.engines.triplane.shading import head_gain

GainMaker = Callable[[HeadEstimate, LightOfGain], RgbGain]
"""Says what `head_gain` says; for one thread at a time."""


def gain_maker(refiner: Refiner | None, card: Card | None) -> GainMaker:
    """What makes gains for one thread.

    Args:
        refiner: what corrects them; None: nothing does.
        card: that makes them; None, or without a refiner: the CPU does.
    """
    if card is None or refiner is None:
        return lambda estimate, light: head_gain(estimate, light, refiner)
    shading: CudaShading | None = None

    def gain(estimate: HeadEstimate, light: LightOfGain) -> RgbGain:
        nonlocal shading
        if len(light.target.lobes.radii) > MOST_LOBES:
            return head_gain(estimate, light, refiner)
        if shading is None:  # when it is needed: most streams find their gains prepared
            shading = CudaShading(card, refiner)
        return shading.gain(estimate, light)

    return gain


class HeadGain:
    """The gain of one head; made anew only when its estimate or the light changes."""

    def __init__(self, make: GainMaker) -> None:
        self._make = make
        self._made: tuple[HeadEstimate, PreparedGain] | None = None

    def of(self, estimate: HeadEstimate, light: LightOfGain) -> RgbGain:
        """What `head_gain` says."""
        made = estimate.prepared
        if self._made and self._made[0] is estimate:
            made = self._made[1]
        if made is None or not made.light.equals(light):
            made = PreparedGain(light, self._make(estimate, light))
        self._made = estimate, made
        return made.gain
