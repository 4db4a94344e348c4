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
from vcam_relight.pipeline.core.window import Window


@dataclass(frozen=True, slots=True)
class DenoiseParams:
    """How much is taken out; noise is in levels of 255, standard deviations."""

    least: float = 1.35
    most: float = 5.0
    """Gains of linear light up to which nothing and from which everything is done."""
    keep: float = 0.85
    """Share of the frame before in the average, at most: noise falls to a third."""
    agree: float = 0.9
    """Differences of means of 6 x 6 pixels, over the noise, up to which two frames agree; at twice
    that they do not."""
    still: float = 0.4
    """Pixels of the frame; a flow of no more than this is none, so that nothing is resampled."""
    edges: tuple[float, float] = (2.2, 5.0)
    """Differences, over the noise, that the filter takes for edges: luma, and chroma, whose
    blotches are seen first."""
    averaged: float = 0.6
    """How much less is filtered where frames were averaged."""
    every: int = 8
    """Rows of which one is looked at to tell the noise."""
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
    """`(h, w, 2)` Cr and Cb at half the frame's size."""
    half: GrayImage
    """Luma at half the frame's size, to tell agreement by..."""
    small: GrayImage
    """...and at the analysis resolution, to tell motion by."""


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
        luma, red, blue = cv2.split(cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb))
        half = (max(1, width // 2), max(1, height // 2))
        now = _Clean(
            np.asarray(luma, np.uint8),
            np.asarray(cv2.merge([resize(red, half), resize(blue, half)]), np.uint8),
            resize(np.asarray(luma, np.uint8), half),
            change.luma,
        )
        noise = self._noise(now.luma)
        filtered, shown = amount, None
        if self._last is not None and self._last.luma.shape == now.luma.shape:
            before = self._moved(self._last, now.small)
            shown = self._agreement(now.half, before.half, noise) * resize(amount, half)
            now = _Clean(
                _blend(now.luma, before.luma, shown),
                _blend(now.chroma, before.chroma, shown),
                _blend(now.half, before.half, shown),
                now.small,
            )
            averaged = resize(shown, (amount.shape[1], amount.shape[0]))
            filtered = amount * (1 - np.float32(self._params.averaged) * averaged)
        clean = self._filtered(now, filtered, noise, rounds=1 if shown is not None else 2)
        self._last = now
        lifted = cv2.resize((amount > 0).astype(np.uint8), (width, height))
        return np.asarray(cv2.copyTo(clean, lifted, frame.copy()), np.uint8)

    def reset(self) -> None:
        """Forgets the frames before."""
        self._last = None

    def _amount(self, change: LightChange) -> Map:
        """`(h, w)` 0..1, how much of the noise is to go, at the analysis resolution."""
        params = self._params
        around = change.background
        if around is None:
            around = np.ones(3, np.float32)
        mask = change.mask[..., None]
        gain = (change.gain * mask + around * (1 - mask)) @ LUMINANCE_RGB
        gain = np.maximum(gain, 1e-3) ** np.float32(change.strength)
        low, high = np.log(params.least), np.log(params.most)
        return np.asarray(np.clip((np.log(gain) - low) / (high - low), 0, 1), np.float32)

    def _noise(self, luma: GrayImage) -> float:
        """Standard deviation of what differs from pixel to pixel where there are few details."""
        rows = luma[:: self._params.every].astype(np.float32)
        if rows.shape[1] < 3:
            return self._params.quiet
        rough = np.abs(rows[:, 1:-1] - (rows[:, :-2] + rows[:, 2:]) / 2)
        # For white noise of deviation s this has a mean of 0.98 s. Details are few, but large: what
        # is beyond three times the mean is left out.
        mean = float(rough.mean())
        return max(float(rough[rough <= 3 * mean].mean()) if mean else 0.0, self._params.quiet)

    def _agreement(self, now: GrayImage, before: GrayImage, noise: float) -> Map:
        """`(h, w)` 0..1, how much of the frame before is taken."""
        box = (3, 3)
        difference = cv2.absdiff(cv2.blur(now, box), cv2.blur(before, box))
        limit = max(self._params.agree * noise, 1.0)
        levels = np.arange(256, dtype=np.float32)
        weights = self._params.keep * np.clip(2 - levels / limit, 0, 1)
        return np.asarray(cv2.LUT(difference, weights.astype(np.float32)), np.float32)

    def _moved(self, last: _Clean, small: GrayImage) -> _Clean:
        """The frame before, where its things are now."""
        flow = self._flow.calc(small, last.small, np.zeros((*small.shape, 2), np.float32))
        flow = cv2.GaussianBlur(flow, (0, 0), 1.5)
        scale = last.luma.shape[1] / small.shape[1]
        moving = cv2.magnitude(flow[..., 0], flow[..., 1]) * scale > self._params.still
        if not moving.any():
            return last
        rows, columns = np.flatnonzero(moving.any(axis=1)), np.flatnonzero(moving.any(axis=0))
        part = Window(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        field = np.asarray((flow * moving[..., None])[part.slices], np.float32)

        def taken(values: Bytes) -> Bytes:
            return _shifted(values, field, part, small.shape)

        return _Clean(taken(last.luma), taken(last.chroma), taken(last.half), small)

    def _filtered(self, clean: _Clean, amount: Map, noise: float, rounds: int) -> BgrImage:
        """A frame of the same size, filtered where `amount` `(h, w)` says."""
        edges = [np.float32(noise * edge) for edge in self._params.edges]
        smooth: Bytes = clean.luma
        for _ in range(rounds):
            smooth = np.asarray(cv2.bilateralFilter(smooth, 5, float(edges[0]), 2.0), np.uint8)
        height, width = clean.luma.shape
        luma = _blend(clean.luma, smooth, amount)
        colours = [
            cv2.resize(
                cv2.bilateralFilter(np.ascontiguousarray(plane), 7, float(edges[1]), 3.0),
                (width, height),
                interpolation=cv2.INTER_LINEAR,
            )
            for plane in np.moveaxis(clean.chroma, -1, 0)
        ]
        return np.asarray(cv2.cvtColor(cv2.merge([luma, *colours]), cv2.COLOR_YCrCb2BGR), np.uint8)


def _shifted(values: Bytes, flow: FloatArray, part: Window, grid: tuple[int, ...]) -> Bytes:
    """An image `(H, W, ...)` whose part has moved; part and flow are in cells of a grid."""
    height, width = values.shape[:2]
    x_scale, y_scale = width / grid[1], height / grid[0]
    left, right = round(part.left * x_scale), round(part.right * x_scale)
    top, bottom = round(part.top * y_scale), round(part.bottom * y_scale)
    if right <= left or bottom <= top:
        return values
    field = resize(flow * np.array([x_scale, y_scale], np.float32), (right - left, bottom - top))
    field[..., 0] += np.arange(left, right, dtype=np.float32)
    field[..., 1] += np.arange(top, bottom, dtype=np.float32)[:, None]
    moved = cv2.remap(values, field, np.empty(0), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    out = values.copy()
    out[top:bottom, left:right] = moved
    return out


def _blend(a: Bytes, b: Bytes, share: Map) -> Bytes:
    """From `a` (0) to `b` (1), the share being of any size."""
    share = resize(share, (a.shape[1], a.shape[0]))
    return np.asarray(cv2.blendLinear(a, b, 1 - share, share), np.uint8)
