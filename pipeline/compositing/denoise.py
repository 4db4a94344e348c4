"""Takes out the noise that a light change would lift, before it is lifted.

A frame is split into what half its size shows and the details beyond. The first is averaged over
time where it agrees with the frame before, moved along the optical flow. Details smaller than the
noise are shrunk in both (Gao 1998, the non-negative garrote), the more where there was nothing to
average. All of it as much as the gain asks for, and nothing where nothing is lifted.
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

    least: float = 1.6
    most: float = 4.5
    """Gains of linear light up to which nothing and from which everything is done."""
    keep: float = 0.85
    """Share of the frame before in the average, at most: noise falls to a third."""
    agree: float = 0.9
    """Differences of means of 6 x 6 pixels, over the noise, up to which two frames agree; at twice
    that they do not."""
    still: float = 0.4
    """Pixels of the frame; a flow of no more than this is none, so that nothing is resampled."""
    edges: tuple[float, float] = (1.2, 4.0)
    """Size of a detail, over the noise, up to which it counts as noise at half size: luma's, and
    chroma's, whose blotches are seen first."""
    averaged: float = 0.6
    """How much less luma is filtered where frames were averaged."""
    detail: float = 1.9
    """Size of a detail, over the noise, up to which it counts as noise."""
    every: int = 8
    """Rows of which one is looked at to tell the noise."""
    quiet: float = 0.4
    """Noise below which an image counts as this noisy: 8 bits have no less."""


_PARAMS = DenoiseParams()
_BOX = (5, 5)
"""Pixels around which details count as such."""
Bytes = NDArray[np.uint8]
"""Of one channel or more."""


@dataclass(frozen=True, slots=True)
class _Clean:
    """A frame with its noise averaged out."""

    image: Bytes
    """`(H / 2, W / 2, 3)` Y, Cr and Cb."""
    small: GrayImage
    """Luma at the analysis resolution, to tell motion by."""


class LiftDenoiser:
    """Denoises the frames of one stream; for one thread at a time."""

    def __init__(self, params: DenoiseParams = _PARAMS) -> None:
        self._params = params
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._last: _Clean | None = None

    def apply(self, frame: BgrImage, change: LightChange, lift: float) -> BgrImage:
        """The frame with as little noise as `change` needs.

        Args:
            frame: `(H, W, 3)`; not written to.
            change: what the frame's light is going to be multiplied by.
            lift: how much brighter than its room a dark face is made, in all: in a good light (1)
                a new light lifts no noise that is worth the work.

        Returns:
            `(H, W, 3)`; `frame` itself where nothing is lifted.
        """
        amount = self._amount(change) if lift >= self._params.least else None
        if amount is None or not amount.any():
            self._last = None
            return frame
        height, width = frame.shape[:2]
        coded = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb), np.uint8)
        luma: GrayImage = np.asarray(cv2.extractChannel(coded, 0), np.uint8)
        half = resize(coded, (max(1, width // 2), max(1, height // 2)))
        noise = self._noise(luma)
        clean, averaged = self._averaged(_Clean(half, change.luma), amount, noise)
        filtered = self._filtered(clean.image, amount, averaged, noise)
        self._last = clean
        large = cv2.resize(filtered, (width, height), interpolation=cv2.INTER_LINEAR)
        before = cv2.resize(half[..., 0], (width, height), interpolation=cv2.INTER_LINEAR)
        beyond = np.asarray(cv2.subtract(luma, before, dtype=cv2.CV_16S), np.int16)
        kept = self._details(beyond, amount, noise)
        fine = cv2.add(cv2.extractChannel(large, 0), kept, dtype=cv2.CV_8U)
        out = cv2.cvtColor(cv2.insertChannel(fine, large, 0), cv2.COLOR_YCrCb2BGR)
        if amount.all():
            return np.asarray(out, np.uint8)
        lifted = cv2.resize((amount > 0).astype(np.uint8), (width, height))
        return np.asarray(cv2.copyTo(out, lifted, frame.copy()), np.uint8)

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

    def _averaged(self, now: _Clean, amount: Map, noise: float) -> tuple[_Clean, Map]:
        """The frame averaged with those before, and `(h, w)` 0..1 how much of them it has."""
        height, width = now.image.shape[:2]
        if self._last is None or self._last.image.shape != now.image.shape:
            return now, np.zeros((height, width), np.float32)
        before = self._moved(self._last, now.small)
        share = self._agreement(now.image, before, noise) * resize(amount, (width, height))
        image = np.asarray(cv2.blendLinear(now.image, before, 1 - share, share), np.uint8)
        return _Clean(image, now.small), share

    def _agreement(self, now: Bytes, before: Bytes, noise: float) -> Map:
        """`(h, w)` 0..1, how much of the frame before is taken."""
        one, other = (cv2.blur(cv2.extractChannel(image, 0), (3, 3)) for image in (now, before))
        limit = max(self._params.agree * noise, 1.0)
        levels = np.arange(256, dtype=np.float32)
        weights = self._params.keep * np.clip(2 - levels / limit, 0, 1)
        return np.asarray(cv2.LUT(cv2.absdiff(one, other), weights.astype(np.float32)), np.float32)

    def _moved(self, last: _Clean, small: GrayImage) -> Bytes:
        """The frame before, where its things are now."""
        flow = self._flow.calc(small, last.small, np.zeros((*small.shape, 2), np.float32))
        flow = cv2.GaussianBlur(flow, (0, 0), 1.5)
        scale = 2 * last.image.shape[1] / small.shape[1]
        # Not by cv2.magnitude, which rounds by where in memory an array lies.
        moving = (flow * flow).sum(axis=2) * np.float32(scale * scale) > self._params.still**2
        if not moving.any():
            return last.image
        rows, columns = np.flatnonzero(moving.any(axis=1)), np.flatnonzero(moving.any(axis=0))
        part = Window(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        field = np.asarray((flow * moving[..., None])[part.slices], np.float32)
        return _shifted(last.image, field, part, small.shape)

    def _filtered(self, image: Bytes, amount: Map, averaged: Map, noise: float) -> Bytes:
        """The frame at half size, filtered where `amount` says and few frames were averaged."""
        height, width = averaged.shape
        amount = resize(amount, (width, height))
        little = amount * (1 - np.float32(self._params.averaged) * averaged)
        shares = (_steps(little), *[_steps(amount)] * 2)
        bands = (self._params.edges[0], *[self._params.edges[1]] * 2)
        planes = []
        for plane, share, edge in zip(cv2.split(image), shares, bands, strict=True):
            smooth = cv2.blur(plane, _BOX)
            details = cv2.subtract(plane, smooth, dtype=cv2.CV_16S)
            kept = _without_noise(np.asarray(details, np.int16), share, edge * noise)
            planes.append(cv2.add(smooth, kept, dtype=cv2.CV_8U))
        return np.asarray(cv2.merge(planes), np.uint8)

    def _details(self, details: NDArray[np.int16], amount: Map, noise: float) -> NDArray[np.int16]:
        """What half the size does not show, less what is noise of it."""
        steps = resize(_steps(amount), (details.shape[1], details.shape[0]))
        return _without_noise(details, steps, self._params.detail * noise)


def _steps(share: Map) -> Bytes:
    """A share of 0..1 in 255 steps."""
    return np.asarray(share * np.float32(255) + np.float32(0.5), np.uint8)


def _without_noise(details: NDArray[np.int16], share: Bytes, limit: float) -> NDArray[np.int16]:
    """Details `(H, W)` less a share, in 255 steps, of what is noise of them.

    What is smaller than the limit is noise, of what is larger the less, the larger it is.
    """
    levels = np.arange(-128, 128, dtype=np.float32)
    noisy = np.where(np.abs(levels) < limit, levels, limit**2 / np.where(levels, levels, 1))
    place = cv2.convertScaleAbs(np.maximum(details, -128) + np.int16(128))
    taken = cv2.LUT(place, np.asarray(np.round(noisy * 64), np.int16))
    noise = cv2.multiply(taken, share, scale=1 / (64 * 255), dtype=cv2.CV_16S)
    return np.asarray(cv2.subtract(details, noise), np.int16)


def _shifted(values: Bytes, flow: FloatArray, part: Window, grid: tuple[int, ...]) -> Bytes:
    """An image `(H, W, 3)` whose part has moved; part and flow are in cells of a grid."""
    height, width = values.shape[:2]
    x_scale, y_scale = width / grid[1], height / grid[0]
    left, right = round(part.left * x_scale), round(part.right * x_scale)
    top, bottom = round(part.top * y_scale), round(part.bottom * y_scale)
    if right <= left or bottom <= top:
        return values
    size = (right - left, bottom - top)
    x, y = (
        resize(np.ascontiguousarray(flow[..., axis]) * np.float32(scale), size)
        for axis, scale in enumerate((x_scale, y_scale))
    )
    x += np.arange(left, right, dtype=np.float32)
    y += np.arange(top, bottom, dtype=np.float32)[:, None]
    out = values.copy()
    out[top:bottom, left:right] = cv2.remap(
        values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return out
