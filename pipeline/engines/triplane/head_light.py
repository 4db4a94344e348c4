"""The light change of one head in the frame at hand, before it is lifted."""

from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.compositing.base import LocalGain
from vcam_relight.pipeline.compositing.face_exposure import FaceGain
from vcam_relight.pipeline.core.image import FloatArray, LinearRgb, Map, RgbGain
from vcam_relight.pipeline.engines.triplane.network.model import OUTPUT
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.head.crop import HeadCrop

_STEP = 2
"""Every so many pixels of a head are looked at to tell how bright its face is."""


@dataclass(frozen=True, slots=True)
class HeadLight:
    """Maps of a head's crop, `(n, n)`."""

    crop: HeadCrop
    gain: RgbGain
    """`(n, n, 3)` the network's, of exposure 1."""
    base: RgbGain
    """`(n, n, 3)` the body's there."""
    alpha: FloatArray
    """`(n, n, 1)` 0..1, how much the network's counts."""
    linear: LinearRgb
    skin: Map
    """0..1, of all faces that are visible."""

    @staticmethod
    def of(
        context: FrameContext, crop: HeadCrop, gain: RgbGain, body: RgbGain, alpha: FloatArray
    ) -> "HeadLight":
        """Of a head's crop.

        Args:
            context: the frame.
            crop: of the head in it.
            gain: as of the field.
            body: `(h, w, 3)` the body's gain at the analysis resolution.
            alpha: as of the field.
        """
        small = crop.scaled(context.scale)
        return HeadLight(
            crop,
            gain,
            small.cut_map(body, OUTPUT),
            alpha,
            small.cut_map(context.image.linear, OUTPUT),
            small.cut_map(context.skin, OUTPUT),
        )

    def face(self) -> FaceGain:
        """The skin's gain."""
        gain, base, alpha, linear, skin = (
            np.ascontiguousarray(values[::_STEP, ::_STEP])
            for values in (self.gain, self.base, self.alpha, self.linear, self.skin)
        )
        return FaceGain.of(base + (gain - base) * alpha, linear, skin)

    def local(self) -> LocalGain:
        """What changes the frame."""
        middle, side = self.crop.middle, self.crop.side
        return LocalGain(self.gain, self.base, self.alpha, self.linear, middle, side)
