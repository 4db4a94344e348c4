"""Applies a light change to the full frame: frame x gain, in linear light, the frame's own pixels.

The gain is smooth and known on a coarse grid; the edge between person and background is found
again at full resolution by a guided filter (He, Sun and Tang 2013).
"""

import cv2
import numpy as np

from pipeline.resample import resize
from pipeline.types import Floats, Picture, Plane

_RADIUS = 4
"""Of the guided filter's box, in grid pixels."""
_EPSILON = 2e-3
"""Variance of luma (0..1) below which the guide counts as flat."""
_INNER, _OUTER = 0.85, 0.35
"""Mask values taken as 1 and as 0: the model's edge is wider than the person's, and what it holds
of the background would shine."""
_MARGIN = 0.01
"""Masks below this are left out of the worked-on rectangle."""

# sRGB's upper segment is 1.055 L^(1/2.4) - 0.055: a gain r of linear light is exactly
# (v + 0.055) r^(1/2.4) - 0.055 of the encoded value v. Near black, where sRGB is linear, the
# offset fades to 0 so that black stays black; the error there is below one 8-bit step.
_V = np.arange(256, dtype=np.float32)
_OFFSET = (0.055 * 255) * np.minimum(_V / (0.04045 * 255), 1.0)
_LIFTED_LUT: Floats = np.ascontiguousarray((_V + _OFFSET).reshape(256, 1))
_OFFSET_LUT: Floats = np.ascontiguousarray(_OFFSET.reshape(256, 1))


class Compositor:
    """Holds buffers for one stream's frame size."""

    def __init__(self) -> None:
        self._lifted = np.empty((0, 0, 3), np.float32)
        self._offset = np.empty((0, 0, 3), np.float32)

    def apply(
        self, frame: Picture, gain: Floats, background: Floats, mask: Plane, luma: Plane
    ) -> Picture:
        """The frame with its linear light multiplied.

        Args:
            frame: `(H, W, 3)` BGR.
            gain: `(h, w, 3)` BGR gain of the person's linear light on the grid, also defined
                around the person.
            background: `(3,)` BGR gain of everything else.
            mask: `(h, w)` the person's share.
            luma: `(h, w)` the frame's encoded luma in 0..1 on the grid.

        Returns:
            `(H, W, 3)`, a new picture, or `frame` itself where nothing changes.
        """
        height, width = frame.shape[:2]
        mask = np.clip((mask - _OUTER) * np.float32(1 / (_INNER - _OUTER)), 0.0, 1.0)
        # A power of the gain works on encoded values, see above.
        power = np.float32(1 / 2.4)
        behind = np.power(background, power)
        if np.abs(behind - 1).max() < 1e-4:
            window = _rectangle(mask, width, height)
            if window is None:
                return frame
        else:
            window = np.s_[0:height, 0:width]
        gain = np.asarray(cv2.pow(gain, float(power)), np.float32)
        encoded_gain = self._upsample(gain, behind, mask, luma, frame, window)
        part = np.ascontiguousarray(frame[window])
        if self._lifted.shape != part.shape:
            self._lifted = np.empty(part.shape, np.float32)
            self._offset = np.empty(part.shape, np.float32)
        lifted = cv2.LUT(part, _LIFTED_LUT, dst=self._lifted)
        offset = cv2.LUT(part, _OFFSET_LUT, dst=self._offset)
        cv2.multiply(lifted, encoded_gain, dst=lifted)
        relit = cv2.subtract(lifted, offset, dtype=cv2.CV_8U)
        if relit.shape == frame.shape:
            return np.asarray(relit, np.uint8)
        out = frame.copy()
        out[window] = relit
        return out

    @staticmethod
    def _upsample(
        gain: Floats,
        behind: Floats,
        mask: Plane,
        luma: Plane,
        frame: Picture,
        window: tuple[slice, slice],
    ) -> Floats:
        """`(H', W', 3)` gain of encoded values for the window of the frame.

        The mask is sharpened at half resolution: soft enough for hair, a quarter of the work.
        """
        height, width = frame.shape[:2]
        half = (max(1, width // 2), max(1, height // 2))
        guide = cv2.cvtColor(resize(frame, half), cv2.COLOR_BGR2GRAY)
        a, b = (resize(plane, half) for plane in _guided_filter(luma, mask))
        share = cv2.multiply(guide, a, scale=1 / 255, dtype=cv2.CV_32F)
        share = np.clip(share + b, 0.0, 1.0)
        field = resize(gain - behind, half)
        field *= share[..., None]
        field += behind
        return np.ascontiguousarray(resize(field, (width, height))[window])


def _guided_filter(guide: Plane, mask: Plane) -> tuple[Plane, Plane]:
    """Coefficients a, b on the grid: mask = a guide + b."""
    box = (2 * _RADIUS + 1, 2 * _RADIUS + 1)

    def mean(plane: Plane) -> Plane:
        return np.asarray(cv2.blur(plane, box, borderType=cv2.BORDER_REFLECT), np.float32)

    mean_guide, mean_mask = mean(guide), mean(mask)
    variance = mean(guide * guide) - mean_guide * mean_guide
    covariance = mean(guide * mask) - mean_guide * mean_mask
    a = covariance / (variance + np.float32(_EPSILON))
    b = mean_mask - a * mean_guide
    return mean(np.asarray(a)), mean(np.asarray(b))


def _rectangle(mask: Plane, width: int, height: int) -> tuple[slice, slice] | None:
    """The part of the frame that the person may touch."""
    rows = np.flatnonzero(mask.max(axis=1) > _MARGIN)
    columns = np.flatnonzero(mask.max(axis=0) > _MARGIN)
    if not len(rows) or not len(columns):
        return None
    h, w = mask.shape
    reach = 2 * _RADIUS + 1  # two box filters spread the mask this far
    top, bottom = max(rows[0] - reach, 0) * height // h, -(-(rows[-1] + 1 + reach) * height // h)
    left, right = (
        max(columns[0] - reach, 0) * width // w,
        -(-(columns[-1] + 1 + reach) * width // w),
    )
    return slice(int(top), min(int(bottom), height)), slice(int(left), min(int(right), width))
