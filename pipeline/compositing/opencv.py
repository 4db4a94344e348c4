"""Applies a light change to the full frame: frame x gain, in linear light, the frame's own pixels.

The gain is smooth and known on a coarse grid; the edge between person and background is found
again at full resolution by a guided filter (He, Sun and Tang 2013).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map
from vcam_relight.pipeline.core.resample import resize

_RADIUS = 3
"""Of the guided filter's box, in grid pixels."""
_EPSILON = 2e-3
"""Variance of luma (0..1) below which the guide counts as flat."""
_INNER, _OUTER = 0.85, 0.35
"""Mask values taken as 1 and as 0: the model's edge is wider than the person's, and what it holds
of the background would shine."""
_SURE = 0.25
"""Shares as near to 0 or 1 as this are 0 or 1: where the frame does not show the outline, the
filter spreads the mask over its boxes, and the light would spread beside the person."""
_MARGIN = 0.01
"""Masks below this are left out of the worked-on rectangle."""

# sRGB's upper segment is 1.055 L^(1/2.4) - 0.055: a gain r of linear light is exactly
# (v + 0.055) r^(1/2.4) - 0.055 of the encoded value v. Near black, where sRGB is linear, the
# offset fades to 0 so that black stays black: for values below 13 of 255 the result is off by up to
# 1.5 steps at gains of 0.4 to 2, by 5 at 0.1 and 4.5, and by 9 at the bound of 9.
_V = np.arange(256, dtype=np.float32)
_OFFSET = (0.055 * 255) * np.minimum(_V / (0.04045 * 255), 1.0)
_LIFTED_LUT: FloatArray = np.ascontiguousarray((_V + _OFFSET).reshape(256, 1))
_OFFSET_LUT: FloatArray = np.ascontiguousarray(_OFFSET.reshape(256, 1))


class Compositor:
    """Holds buffers for one stream: fresh ones of this size cost more in page faults than all of
    the arithmetic.
    """

    def __init__(self, kernels: Any | None = None) -> None:
        """Args: `kernels` of `pipeline.native`, with which a frame takes a quarter of the time."""
        self._buffers: dict[str, FloatArray] = {}
        self._kernels = kernels

    def apply(
        self,
        frame: BgrImage,
        gain: FloatArray,
        background: FloatArray | None,
        mask: Map,
        luma: Map,
        insets: Sequence["Inset"] = (),
    ) -> BgrImage:
        """The frame with its linear light multiplied.

        Args:
            frame: `(H, W, 3)` BGR.
            gain: `(h, w, 3)` BGR gain of the person's linear light, on any grid, also defined
                around the person.
            background: `(h, w, 3)` BGR gain of everything else; None leaves it alone.
            mask: `(h, w)` the person's share.
            luma: `(h, w)` the frame's encoded luma in 0..1 on the grid.
            insets: where more is known of the person's gain than on the grid.

        Returns:
            `(H, W, 3)`, a new picture, or `frame` itself where nothing changes.
        """
        height, width = frame.shape[:2]
        mask = np.clip((mask - _OUTER) * np.float32(1 / (_INNER - _OUTER)), 0.0, 1.0)
        # A power of the gain works on encoded values, see above.
        half = Window(0, 0, max(1, width // 2), max(1, height // 2))
        window = _touched(mask, half) if background is None else half
        if window is None:
            return frame
        person = np.asarray(cv2.pow(gain, 1 / 2.4), np.float32)
        behind = (
            None if background is None else np.asarray(cv2.pow(background, 1 / 2.4), np.float32)
        )
        a, b = _guided_filter(luma, mask)
        whole = window.doubled(half, width, height)
        output = np.empty(frame.shape, np.uint8)
        if whole.area < width * height:
            output[:] = frame
        if self._kernels is None:
            field = self._field(person, behind, (a, b), frame, half, window, insets)
            self._multiply(frame, field, whole, output)
        else:
            _compose(self._kernels, frame, person, behind, (a, b), window, insets, output)
        return output

    def _field(
        self,
        gain: FloatArray,
        behind: FloatArray | None,
        share_of: tuple[Map, Map],
        frame: BgrImage,
        half: "Window",
        window: "Window",
        insets: Sequence["Inset"],
    ) -> FloatArray:
        """Gain of encoded values in a window of the frame at half resolution: soft enough for
        hair, a quarter of the work.
        """
        size = (half.right, half.bottom)
        guide = cv2.cvtColor(resize(frame, size), cv2.COLOR_BGR2GRAY)[window.slices]
        a, b = (resize(plane, size)[window.slices] for plane in share_of)
        share = cv2.multiply(guide, a, scale=1 / 255, dtype=cv2.CV_32F)
        share = np.clip(cv2.add(share, b), 0.0, 1.0)
        planes = []
        for channel in range(3):  # planes: numpy broadcasts over pixels slowly
            person = resize(np.ascontiguousarray(gain[..., channel]), size)[window.slices]
            around: FloatArray | np.float32 = np.float32(1)
            if behind is not None:
                around = resize(np.ascontiguousarray(behind[..., channel]), size)[window.slices]
            change = person - around
            for inset in insets:
                inset.add_to(change, channel, window)
            planes.append(change * share + around)
        field = self._buffer("field", (*share.shape, 3))
        return np.asarray(cv2.merge(planes, dst=field), np.float32)

    def _multiply(
        self, frame: BgrImage, field: FloatArray, window: "Window", output: BgrImage
    ) -> None:
        part = frame[window.slices]
        gain = self._buffer("gain", part.shape)
        size = (part.shape[1], part.shape[0])
        cv2.resize(field, size, dst=gain, interpolation=cv2.INTER_LINEAR)
        lifted = cv2.LUT(part, _LIFTED_LUT, dst=self._buffer("lifted", part.shape))
        cv2.multiply(lifted, gain, dst=lifted)
        offset = cv2.LUT(part, _OFFSET_LUT, dst=gain)
        cv2.subtract(lifted, offset, dst=output[window.slices], dtype=cv2.CV_8U)

    def _buffer(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """Memory of this shape that is used again in the next frame."""
        size = int(np.prod(shape))
        flat = self._buffers.get(name)
        if flat is None or flat.size < size:
            flat = self._buffers[name] = np.empty(size, np.float32)
        return flat[:size].reshape(shape)


@dataclass(frozen=True, slots=True)
class Inset:
    """A square of the frame whose gain is known finer than the grid's."""

    change: FloatArray
    """`(n, n, 3)` BGR, of encoded values' gains: what is to be added to those of the grid; 0 at the
    edges."""
    middle: FloatArray
    """`(2,)` x right and y down in pixels of the frame."""
    side: float
    """In pixels of the frame."""

    @property
    def place(self) -> tuple[float, float, float]:
        """Left, top and side in pixels of the half-size frame."""
        left, top = (self.middle / 2 - self.side / 4).tolist()
        return left, top, self.side / 2

    def add_to(self, plane: Map, channel: int, window: "Window") -> None:
        """Adds one channel to a window of the half-size frame, in place."""
        left, top, side = self.place
        scale = side / self.change.shape[0]
        x0, y0 = max(math.floor(left), window.left), max(math.floor(top), window.top)
        x1 = min(math.ceil(left + side), window.right)
        y1 = min(math.ceil(top + side), window.bottom)
        if x0 >= x1 or y0 >= y1:
            return
        shift = (left - x0 + scale / 2 - 0.5, top - y0 + scale / 2 - 0.5)
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
        spread = cv2.warpAffine(
            np.ascontiguousarray(self.change[..., channel]), matrix, (x1 - x0, y1 - y0)
        )
        part = plane[y0 - window.top : y1 - window.top, x0 - window.left : x1 - window.left]
        part += spread


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index a picture with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def doubled(self, half: "Window", width: int, height: int) -> "Window":
        """The same in a picture of twice the size, which may have an odd last row or column."""
        right = width if self.right == half.right else 2 * self.right
        bottom = height if self.bottom == half.bottom else 2 * self.bottom
        return Window(2 * self.left, 2 * self.top, right, bottom)


def _compose(
    kernels: Any,
    frame: BgrImage,
    person: FloatArray,
    behind: FloatArray | None,
    share_of: tuple[Map, Map],
    window: Window,
    insets: Sequence[Inset],
    output: BgrImage,
) -> None:
    """`_field` and `_multiply` in one pass."""
    import torch  # of which the kernels are an extension

    height, width = share_of[0].shape
    person = resize(person, (width, height))
    around = np.ones_like(person) if behind is None else resize(behind, (width, height))
    grid = cv2.merge([*share_of, *cv2.split(person), *cv2.split(around)])
    kernels.compose(
        torch.from_numpy(np.require(frame, requirements=["C", "W"])),  # torch wants no others
        torch.from_numpy(grid),
        [torch.from_numpy(np.ascontiguousarray(inset.change)) for inset in insets],
        [value for inset in insets for value in inset.place],
        [window.left, window.top, window.right, window.bottom],
        torch.from_numpy(output),
    )


def _guided_filter(guide: Map, mask: Map) -> tuple[Map, Map]:
    """Coefficients a, b on the grid: mask = a guide + b, to be cut off at 0 and 1."""
    box = (2 * _RADIUS + 1, 2 * _RADIUS + 1)

    def mean(plane: Map) -> Map:
        return np.asarray(cv2.blur(plane, box, borderType=cv2.BORDER_REFLECT), np.float32)

    mean_guide, mean_mask = mean(guide), mean(mask)
    variance = mean(guide * guide) - mean_guide * mean_guide
    covariance = mean(guide * mask) - mean_guide * mean_mask
    a = covariance / (variance + np.float32(_EPSILON))
    b = mean_mask - a * mean_guide
    steep = np.float32(1 / (1 - 2 * _SURE))
    return mean(np.asarray(a)) * steep, (mean(np.asarray(b)) - np.float32(_SURE)) * steep


def _touched(mask: Map, half: Window) -> Window | None:
    """The part of the half-size frame that the person may touch; None when nobody is there."""
    rows = np.flatnonzero(mask.max(axis=1) > _MARGIN)
    columns = np.flatnonzero(mask.max(axis=0) > _MARGIN)
    if not len(rows) or not len(columns):
        return None
    reach = 2 * _RADIUS + 2  # two box filters and the interpolation spread the mask this far

    def span(places: NDArray[np.intp], cells: int, pixels: int) -> tuple[int, int]:
        first, last = int(places[0]) - reach, int(places[-1]) + 1 + reach
        return max(first, 0) * pixels // cells, min(-(-last * pixels // cells), pixels)

    top, bottom = span(rows, mask.shape[0], half.bottom)
    left, right = span(columns, mask.shape[1], half.right)
    return Window(left, top, right, bottom)
