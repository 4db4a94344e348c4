"""The interface of compositors, what they take, and the work on the grid that all of them share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from vcam_relight.pipeline.compositing.gain import highlight_rolloff
from vcam_relight.pipeline.compositing.guided_filter import Matte, MatteParams, matte_window
from vcam_relight.pipeline.core.analysis_image import AnalysisImage
from vcam_relight.pipeline.core.color import SRGB_GAMMA
from vcam_relight.pipeline.core.image import (
    BgrImage,
    FloatArray,
    GrayImage,
    LinearRgb,
    Map,
    RgbGain,
)
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.window import Window

LEAST_BASE = np.float32(1e-3)
"""Of a patch's base, which is divided by."""


@dataclass(frozen=True, slots=True)
class LocalGainPatch:
    """A square of the frame whose gain is known finer than the grid's."""

    gain: RgbGain
    """`(n, n, 3)` of the square."""
    base: RgbGain
    """`(n, n, 3)` what the grid's gain is there, above 0."""
    alpha: FloatArray
    """`(n, n, 1)` 0..1, how much `gain` counts; 0 at the edges."""
    middle: FloatArray
    """`(2,)` x right and y down in pixels of the frame."""
    side: float
    """In pixels of the frame."""


@dataclass(frozen=True, slots=True)
class LightChange:
    """What the linear light of a frame is to be multiplied by."""

    gain: RgbGain
    """`(h, w, 3)` of the person, on any grid, also defined around the person."""
    mask: Map
    """`(h, w)` 0..1, the person's."""
    luma: GrayImage
    """`(h, w)` of the frame on the mask's grid."""
    background: RgbGain | None = None
    """`(h, w, 3)` of everything else; None leaves it alone."""
    patches: Sequence[LocalGainPatch] = ()
    """Where more is known of the person's gain than on the grid."""
    strength: float = 1.0
    """0..1, the power that all gains are raised to."""


@dataclass(frozen=True, slots=True)
class LocalGain:
    """What a `LocalGainPatch` is made of: gains that are neither lifted nor rolled off."""

    gain: RgbGain
    """`(n, n, 3)` of the square."""
    base: RgbGain
    """`(n, n, 3)` what the person's gain is there."""
    alpha: FloatArray
    """`(n, n, 1)` 0..1, how much `gain` counts; 0 at the edges."""
    linear: LinearRgb
    """`(n, n, 3)` the light there."""
    middle: FloatArray
    """`(2,)` x right and y down in pixels of the frame."""
    side: float
    """In pixels of the frame."""

    def patch(self, lift: FloatArray) -> LocalGainPatch:
        """Lifted by `(3,)` RGB and rolled off."""
        gain, base = (highlight_rolloff(one * lift, self.linear) for one in (self.gain, self.base))
        base = np.maximum(base, LEAST_BASE)
        return LocalGainPatch(gain, base, self.alpha, self.middle, self.side)


@dataclass(frozen=True, slots=True)
class LightRequest:
    """What a `LightChange` is made of, on the CPU by `change`, or on a card."""

    gain: RgbGain
    """`(h', w', 3)` of the person under a light of exposure 1, as fine as `image` or coarser."""
    lift: FloatArray
    """`(3,)` RGB that the person's gains are multiplied by before highlights are rolled off."""
    wall: FloatArray | None
    """`(3,)` RGB gain of everything else before highlights are rolled off; None leaves it alone."""
    image: AnalysisImage
    """The frame."""
    mask: Map
    """`(h, w)` 0..1, the person's, as large as `image`."""
    patches: Sequence[LocalGain]
    """Where more is known of the person's gain."""
    strength: float
    """0..1, the power that all gains are raised to."""
    brightened: float
    """How much brighter than its room a dark face is made, in all: in a good light (1) a new light
    lifts no noise that is worth the work of taking it out."""

    def change(self) -> LightChange:
        """Lifted and rolled off."""
        linear, background = self.image.linear, None
        if self.wall is not None:
            wall = np.broadcast_to(self.wall, linear.shape).astype(np.float32)
            background = highlight_rolloff(wall, linear)
        gain = resize(self.gain, (linear.shape[1], linear.shape[0]))
        return LightChange(
            highlight_rolloff(gain * self.lift, linear),
            self.mask,
            self.image.luma,
            background,
            [one.patch(self.lift) for one in self.patches],
            self.strength,
        )


class Compositor(Protocol):
    """Applies light changes to the frames of one stream; for one thread at a time."""

    def apply(self, frame: BgrImage, change: LightChange) -> BgrImage:
        """The frame with its linear light multiplied.

        Args:
            frame: `(H, W, 3)`; not written to.
            change: the gains.

        Returns:
            `(H, W, 3)`, a new image, or `frame` itself where nothing changes.
        """


@dataclass(frozen=True, slots=True)
class ResidualGain:
    """What a patch adds to the person's gain of encoded values."""

    values: FloatArray
    """`(n, n, 3)` RGB, 0 at the edges."""
    left: float
    top: float
    side: float
    """In pixels of the half-size frame."""

    @staticmethod
    def of(patch: LocalGainPatch, strength: float) -> "ResidualGain":
        """A patch over the grid."""
        change = encoded_gain(patch.gain, strength) - encoded_gain(patch.base, strength)
        left, top = (patch.middle / 2 - patch.side / 4).tolist()
        return ResidualGain(np.asarray(change * patch.alpha, np.float32), left, top, patch.side / 2)


@dataclass(frozen=True, slots=True)
class Composition:
    """A light change readied for a frame: gains of encoded values and the person's matte.

    They are taken to half the frame's size, soft enough for hair and a quarter of the work, and
    from there to the frame's.
    """

    person: RgbGain
    background: RgbGain | None
    matte: Matte
    residuals: tuple[ResidualGain, ...]
    half: Window
    """All of the half-size frame."""
    window: Window
    """The part of it that changes."""
    whole: Window
    """The same part of the frame."""

    @staticmethod
    def of(frame: BgrImage, change: LightChange, params: MatteParams) -> "Composition | None":
        """Readies a change; None where nothing changes."""
        height, width = frame.shape[:2]
        half = Window(0, 0, max(1, width // 2), max(1, height // 2))
        window = matte_window(change.mask, half, params) if change.background is None else half
        if window is None:
            return None
        matte = Matte.of(change.mask, change.luma, params)
        strength, background = change.strength, change.background
        return Composition(
            encoded_gain(change.gain, strength),
            None if background is None else encoded_gain(background, strength),
            matte,
            tuple(ResidualGain.of(patch, strength) for patch in change.patches),
            half,
            window,
            window.doubled(half, width, height),
        )

    def canvas(self, frame: BgrImage) -> BgrImage:
        """A new image to write the window's pixels to; the others are the frame's."""
        output = np.empty(frame.shape, np.uint8)
        if self.whole.area < frame.shape[0] * frame.shape[1]:
            output[:] = frame
        return output


def encoded_gain(gain: RgbGain, strength: float) -> RgbGain:
    """What sRGB-encoded values are multiplied by for linear light times `gain ** strength`.

    sRGB's upper segment is `1.055 L^(1/2.4) - 0.055`: a gain r of linear light is exactly
    `(v + 0.055) r^(1/2.4) - 0.055` of the encoded value v. Near black, where sRGB is linear,
    compositors let the offset fade to 0 so that black stays black: for values below 13 of 255 the
    result is off by up to 1.5 steps at gains of 0.4 to 2, by 5 at 0.1 and 4.5, and by 9 at 9.
    """
    return np.asarray(cv2.pow(gain, strength / SRGB_GAMMA), np.float32)
