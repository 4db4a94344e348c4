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
from vcam_relight.pipeline.compositing.opencv_denoise import OpenCvDenoise
from vcam_relight.pipeline.core.color import LUMINANCE_RGB
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, GrayImage
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.native.denoise import Planes, denoise_kernel


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


PARAMS = DenoiseParams()


@dataclass(frozen=True, slots=True)
class Motion:
    """From one frame to the next."""

    flow: FloatArray | None
    """`(rows, columns, 2)` where the next one's things were, in pixels of half the frame's size;
    None: where they are."""


class MotionEstimator:
    """Follows one stream frame by frame; for one thread at a time."""

    def __init__(self, params: DenoiseParams = PARAMS) -> None:
        self._params = params
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._last: tuple[GrayImage, tuple[int, int]] | None = None
        """Luma at half of the analysis resolution, and the half-size frame's height and width."""

    def next(self, half: tuple[int, int], luma: GrayImage) -> Motion | None:
        """From the frame before; None where none of this size came before.

        Args:
            half: height and width of the half-size frame.
            luma: of the frame at the analysis resolution.
        """
        small = resize(luma, motion_size(luma.shape))
        last, self._last = self._last, (small, half)
        if last is None or last[1] != half or last[0].shape != small.shape:
            return None
        return Motion(self._estimate(last[0], small, half))

    def reset(self) -> None:
        """Forgets the frames before."""
        self._last = None

    def _estimate(
        self, before: GrayImage, now: GrayImage, half: tuple[int, int]
    ) -> FloatArray | None:
        """As of `Motion.flow`."""
        flow = self._flow.calc(now, before, np.zeros((*now.shape, 2), np.float32))
        flow = cv2.GaussianBlur(flow, (0, 0), 0.75)
        flow *= np.array([half[1] / now.shape[1], half[0] / now.shape[0]], np.float32)
        # Not by cv2.magnitude, which rounds by where in memory an array lies.
        moving = (flow * flow).sum(axis=2) > (self._params.still / 2) ** 2
        if not moving.any():
            return None
        return np.asarray(flow * moving[..., None], np.float32)


class LiftDenoiser:
    """Denoises the frames of one stream; for one thread at a time.

    `pipeline/native/denoise.cpp` does the work where it can be built; OpenCV takes six times as
    long.
    """

    def __init__(self, params: DenoiseParams = PARAMS) -> None:
        self._params = params
        self._kernel = denoise_kernel() or OpenCvDenoise()
        self._motion = MotionEstimator(params)
        self._last: Planes | None = None
        """The frame before, with its noise averaged out."""

    def apply(self, frame: BgrImage, change: LightChange, brightened: float) -> BgrImage:
        """The frame with as little noise as `change` needs.

        Args:
            frame: `(H, W, 3)`; not written to.
            change: what the frame's light is going to be multiplied by.
            brightened: as of `LightRequest`.

        Returns:
            `(H, W, 3)`; `frame` itself where nothing is lifted.
        """
        params, kernel = self._params, self._kernel
        wanted = noise_amount(change, params) if brightened >= params.least else None
        if wanted is None or not wanted.any():
            self.reset()
            return frame
        motion = self._motion.next(half_size(frame), change.luma)
        now, roughness = kernel.halve(frame, params.every)
        amount = resize(wanted, (now.shape[2], now.shape[1]))
        noise = self._noise(roughness)
        planes, share = now, np.zeros_like(amount)
        if motion is not None and self._last is not None:
            limit = max(params.agree * noise, 1.0)
            planes, share = kernel.average(now, self._last, motion.flow, amount, limit, params.keep)
        self._last = planes
        limits = (params.edges[0] * noise, params.edges[1] * noise)
        filtered = kernel.filter(planes, now[0], share, amount, limits, params.averaged)
        return kernel.finish(frame, now[0], filtered, amount, params.detail * noise)

    def reset(self) -> None:
        """Forgets the frames before."""
        self._motion.reset()
        self._last = None

    def _noise(self, roughness: NDArray[np.int64]) -> float:
        """Standard deviation of what differs from pixel to pixel where there are few details.

        For white noise of deviation s, half of `|2 b - a - c|` of three neighbours has a mean of
        0.98 s. Details are few, but large: what is beyond three times the mean is left out.
        """
        values = np.arange(len(roughness)) / 2

        def mean(counts: NDArray[np.int64]) -> float:
            return float(counts @ values) / max(int(counts.sum()), 1)

        few = np.where(values <= 3 * mean(roughness), roughness, 0)
        return max(mean(few), self._params.quiet)


def noise_amount(change: LightChange, params: DenoiseParams) -> GrayImage:
    """`(h, w)` how much of the noise is to go, in 255 steps, at the analysis resolution."""
    around = change.background
    if around is None:
        around = np.ones(3, np.float32)
    mask = change.mask[..., None]
    gain = (change.gain * mask + around * (1 - mask)) @ LUMINANCE_RGB
    gain = np.maximum(gain, 1e-3) ** np.float32(change.strength)
    low, high = np.log(params.least), np.log(params.most)
    share = np.clip((np.log(gain) - low) / (high - low), 0, 1)
    return np.asarray(share * np.float32(255) + np.float32(0.5), np.uint8)


def half_size(frame: BgrImage) -> tuple[int, int]:
    """Height and width of the half-size frame."""
    return max(frame.shape[0] // 2, 1), max(frame.shape[1] // 2, 1)


def motion_size(analysis: tuple[int, ...]) -> tuple[int, int]:
    """Width and height of the image that motion is told by, of the analysis image's shape."""
    return max(analysis[1] // 2, 16), max(analysis[0] // 2, 16)
