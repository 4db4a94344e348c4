"""The edge between person and background at full resolution, by a guided filter on the grid.

He, Sun and Tang 2013: the mask is taken as linear in the frame's luma within small boxes, so that
coefficients known on a coarse grid give an edge as fine as the frame's.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray, GrayImage, Map
from vcam_relight.pipeline.core.window import Window


@dataclass(frozen=True, slots=True)
class MatteParams:
    """How a mask is made to fit the frame."""

    radius: int = 3
    """Of the guided filter's box, in grid pixels."""
    epsilon: float = 2e-3
    """Variance of luma (0..1) below which the guide counts as flat."""
    foreground: float = 0.85
    background: float = 0.35
    """Mask values taken as 1 and as 0: the model's edge is wider than the person's, and what it
    holds of the background would shine."""
    certain: float = 0.25
    """Alpha as near to 0 or 1 as this is 0 or 1: where the frame does not show the outline, the
    filter spreads the mask over its boxes, and the light would spread beside the person."""
    margin: float = 0.01
    """Masks below this are left out of the worked-on rectangle."""


@dataclass(frozen=True, slots=True)
class Matte:
    """Who of the frame is a person: alpha = a luma + b, cut off at 0 and 1; luma is 0..1."""

    a: Map
    b: Map

    @staticmethod
    def of(mask: Map, luma: GrayImage, params: MatteParams) -> "Matte":
        """Fits a mask to the frame.

        Args:
            mask: `(h, w)` 0..1, the segmenter's.
            luma: `(h, w)` of the frame on the mask's grid.
            params: how.
        """
        guide = luma * np.float32(1 / 255)
        return Matte(*guided_filter(guide, _sharpened(mask, params), params))


def matte_window(mask: Map, half: Window, params: MatteParams) -> Window | None:
    """The part of the half-size frame that a person may touch; None when nobody is there.

    Args:
        mask: `(h, w)` 0..1, the segmenter's.
        half: all of the half-size frame.
        params: how the mask is sharpened.
    """
    rows, columns = (
        np.flatnonzero(_sharpened(mask.max(axis=axis), params) > params.margin) for axis in (1, 0)
    )
    if not len(rows) or not len(columns):
        return None
    # Two box filters and the interpolation spread the mask this far.
    reach = 2 * params.radius + 2

    def span(places: NDArray[np.intp], cells: int, pixels: int) -> tuple[int, int]:
        first, last = int(places[0]) - reach, int(places[-1]) + 1 + reach
        return max(first, 0) * pixels // cells, min(-(-last * pixels // cells), pixels)

    top, bottom = span(rows, mask.shape[0], half.bottom)
    left, right = span(columns, mask.shape[1], half.right)
    return Window(left, top, right, bottom)


def guided_filter(guide: Map, mask: Map, params: MatteParams) -> tuple[Map, Map]:
    """Coefficients a, b on the grid: alpha = a guide + b, to be cut off at 0 and 1.

    Args:
        guide: `(h, w)` 0..1.
        mask: `(h, w)` 0..1.
        params: box, flatness, and how near to 0 and 1 counts as 0 and 1.
    """
    box = (2 * params.radius + 1, 2 * params.radius + 1)

    def mean(values: Map) -> Map:
        return np.asarray(cv2.blur(values, box, borderType=cv2.BORDER_REFLECT), np.float32)

    mean_guide, mean_mask = mean(guide), mean(mask)
    variance = mean(guide * guide) - mean_guide * mean_guide
    covariance = mean(guide * mask) - mean_guide * mean_mask
    a = covariance / (variance + np.float32(params.epsilon))
    b = mean_mask - a * mean_guide
    steep = np.float32(1 / (1 - 2 * params.certain))
    return mean(np.asarray(a)) * steep, (mean(np.asarray(b)) - np.float32(params.certain)) * steep


def _sharpened(mask: FloatArray, params: MatteParams) -> FloatArray:
    scale = np.float32(1 / (params.foreground - params.background))
    return np.asarray(np.clip((mask - params.background) * scale, 0.0, 1.0), np.float32)
