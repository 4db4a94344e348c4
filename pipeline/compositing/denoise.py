"""Takes out the noise that a light change would lift, before it is lifted.

Over time: where a frame agrees with the one before, moved along the optical flow, the two are
averaged, again and again. Where it does not, and in single images, an edge-preserving filter does
the work (Tomasi, Manduchi 1998). Both do as much as the gain asks for, and nothing where nothing is
lifted.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.compositing.base import LightChange
from vcam_relight.pipeline.core.color import LUMINANCE_RGB
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, GrayImage, Map
from vcam_relight.pipeline.core.resample import resize


@dataclass(frozen=True, slots=True)
class DenoiseParams:
    """How much is taken out; noise is in levels of 255, standard deviations."""

    least: float = 1.35
    most: float = 5.0
    """Gains of linear light up to which nothing and from which everything is done."""
    keep: float = 0.85
    """Share of the frame before in the average, at most: noise falls to a third."""
    agree: float = 0.9
    """Differences of means of 5 x 5 pixels, over the noise, up to which two frames agree; at twice
    that they do not."""
    still: float = 0.4
    """Pixels of the frame; a flow of no more than this is none, so that nothing is resampled."""
    edges: tuple[float, float] = (2.2, 5.0)
    """Differences, over the noise, that the filter takes for edges: luma, and chroma, whose
    blotches are seen first."""
    averaged: float = 0.6
    """How much less is filtered where frames were averaged."""
    quiet: float = 0.4
    """Noise below which an image counts as this noisy: 8 bits have no less."""


_PARAMS = DenoiseParams()


Bytes = NDArray[np.uint8]
"""Of one channel or more."""


@dataclass(frozen=True, slots=True)
class _Clean:
    """A frame with its noise averaged out."""

    luma: GrayImage
    chroma: Bytes
    """`(H / 2, W / 2, 2)` Cr and Cb."""
    small: GrayImage
    """Luma at the analysis resolution, to tell motion by."""


class LiftDenoiser:
    """Denoises the frames of one stream; for one thread at a time."""

    def __init__(self, params: DenoiseParams = _PARAMS) -> None:
        self._params = params
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._last: _Clean | None = None

    def apply(self, frame: BgrImage, change: LightChange) -> BgrImage:
        """The frame with as little noise as `change` needs.

        Args:
            frame: `(H, W, 3)`; not written to.
            change: what the frame's light is going to be multiplied by.

        Returns:
            `(H, W, 3)`; `frame` itself where nothing is lifted.
        """
        amount = self._amount(change)
        if not amount.any():
            self._last = None
            return frame
        height, width = frame.shape[:2]
        amount = resize(amount, (width, height))
        half = (max(1, width // 2), max(1, height // 2))
        coded = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb), np.uint8)
        luma = np.ascontiguousarray(coded[..., 0])
        chroma = np.asarray(resize(np.ascontiguousarray(coded[..., 1:]), half), np.uint8)
        noise = self._noise(luma, amount)
        shown = np.zeros((height, width), np.float32)
        if self._last is not None and self._last.luma.shape == luma.shape:
            before, shown = self._before(self._last, luma, change.luma, noise)
            shown *= amount
            luma = _blend(luma, before.luma, shown)
            chroma = _blend(chroma, before.chroma, resize(shown, half))
        rounds = 2 if self._last is None else 1
        self._last = _Clean(luma, chroma, change.luma)
        filtered = self._filtered(luma, amount * (1 - self._params.averaged * shown), noise, rounds)
        colours = self._filtered_chroma(chroma, noise)
        colours = _blend(chroma, colours, resize(amount, half))
        large = resize(colours, (width, height))
        clean = cv2.cvtColor(
            cv2.merge([filtered, large[..., 0], large[..., 1]]), cv2.COLOR_YCrCb2BGR
        )
        lifted = (amount > 0).astype(np.uint8)
        return np.asarray(cv2.copyTo(clean, lifted, frame.copy()), np.uint8)

    def reset(self) -> None:
        """Forgets the frames before."""
        self._last = None

    def _amount(self, change: LightChange) -> Map:
        """`(h, w)` 0..1, how much of the noise is to go, at the analysis resolution."""
        params = self._params
        around: FloatArray = (
            np.ones(3, np.float32) if change.background is None else change.background
        )
        mask = change.mask[..., None]
        gain = (change.gain * mask + around * (1 - mask)) @ LUMINANCE_RGB
        gain = np.maximum(gain, 1e-3) ** np.float32(change.strength)
        low, high = np.log(params.least), np.log(params.most)
        return np.asarray(np.clip((np.log(gain) - low) / (high - low), 0, 1), np.float32)

    def _noise(self, luma: GrayImage, amount: Map) -> float:
        """Standard deviation of what differs from pixel to pixel where there are few details."""
        rough = cv2.absdiff(luma, cv2.blur(luma, (3, 3)))[::2, ::2][amount[::2, ::2] > 0]
        if not rough.size:
            return self._params.quiet
        # The smoother half's mean says what a median would, less coarsely.
        smooth = rough[rough <= np.median(rough)].astype(np.float32)
        return max(1.4826 * 1.2 * float(smooth.mean() + rough.mean()) / 2, self._params.quiet)

    def _before(
        self, last: _Clean, luma: GrayImage, small: GrayImage, noise: float
    ) -> tuple[_Clean, Map]:
        """The frame before, moved to where things are now, and 0..1 how much of it is taken."""
        moved = self._moved(last, small)
        box = (5, 5)
        difference = cv2.absdiff(cv2.blur(luma, box), cv2.blur(moved.luma, box))
        limit = self._params.agree * noise
        levels = np.arange(256, dtype=np.float32)
        weights = self._params.keep * np.clip(2 - levels / max(limit, 1.0), 0, 1)
        return moved, np.asarray(cv2.LUT(difference, weights.astype(np.float32)), np.float32)

    def _moved(self, last: _Clean, small: GrayImage) -> _Clean:
        flow = self._flow.calc(small, last.small, np.zeros((*small.shape, 2), np.float32))
        width = last.luma.shape[1]
        flow = cv2.GaussianBlur(flow, (0, 0), 1.5) * np.float32(width / small.shape[1])
        length = cv2.magnitude(flow[..., 0], flow[..., 1])
        if float(length.max()) <= self._params.still:
            return last
        flow = flow * (length > self._params.still)[..., None]

        def taken(values: Bytes, scale: float) -> Bytes:
            rows, columns = values.shape[:2]
            here = resize(np.asarray(flow * np.float32(scale), np.float32), (columns, rows))
            x = here[..., 0] + np.arange(columns, dtype=np.float32)
            y = here[..., 1] + np.arange(rows, dtype=np.float32)[:, None]
            moved = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            return np.asarray(moved, np.uint8)

        return _Clean(taken(last.luma, 1.0), taken(last.chroma, 0.5), small)

    def _filtered(self, luma: GrayImage, amount: Map, noise: float, rounds: int) -> GrayImage:
        edge = self._params.edges[0] * noise
        smooth = luma
        for _ in range(rounds):
            smooth = np.asarray(cv2.bilateralFilter(smooth, 5, edge, 2.0), np.uint8)
        return _blend(luma, smooth, amount)

    def _filtered_chroma(self, chroma: Bytes, noise: float) -> Bytes:
        edge = self._params.edges[1] * noise
        channels = [
            cv2.bilateralFilter(np.ascontiguousarray(chroma[..., index]), 9, edge, 4.0)
            for index in range(2)
        ]
        return np.asarray(cv2.merge(channels), np.uint8)


def _blend(a: Bytes, b: Bytes, share: Map) -> Bytes:
    """From `a` (0) to `b` (1)."""
    return np.asarray(cv2.blendLinear(a, b, 1 - share, share), np.uint8)
