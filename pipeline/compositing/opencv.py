"""The compositor that runs anywhere: OpenCV, a dozen passes through memory."""

import math

import cv2
import numpy as np

from vcam_relight.pipeline.compositing.base import Composition, LightChange, ResidualGain
from vcam_relight.pipeline.compositing.guided_filter import MatteParams
from vcam_relight.pipeline.core.color import SRGB_LINEAR_END, SRGB_OFFSET
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.window import Window

_VALUES = np.arange(256, dtype=np.float32)
_OFFSET = (SRGB_OFFSET * 255) * np.minimum(_VALUES / (SRGB_LINEAR_END * 255), 1.0)
"""See `encoded_gain`."""
_LIFTED_LUT: FloatArray = np.ascontiguousarray((_VALUES + _OFFSET).reshape(256, 1))
_OFFSET_LUT: FloatArray = np.ascontiguousarray(_OFFSET.reshape(256, 1))


class OpenCvCompositor:
    """A `Compositor` with OpenCV's functions.

    It holds buffers: fresh ones of this size cost more in page faults than all of the arithmetic.
    """

    def __init__(self, params: MatteParams | None = None) -> None:
        self._params = params or MatteParams()
        self._buffers: dict[str, FloatArray] = {}

    def apply(self, frame: BgrImage, change: LightChange) -> BgrImage:
        """See `Compositor`."""
        composition = Composition.of(frame, change, self._params)
        if composition is None:
            return frame
        output = composition.canvas(frame)
        self._multiply(frame, self._field(frame, composition), composition.whole, output)
        return output

    def _field(self, frame: BgrImage, composition: Composition) -> FloatArray:
        """`(h, w, 3)` BGR gain of encoded values in the window of the half-size frame."""
        matte, window = composition.matte, composition.window
        size = (composition.half.right, composition.half.bottom)

        def enlarged(values: Map) -> Map:
            return resize(values, size)[window.slices]

        guide = cv2.cvtColor(resize(frame, size), cv2.COLOR_BGR2GRAY)[window.slices]
        alpha = cv2.multiply(guide, enlarged(matte.a), scale=1 / 255, dtype=cv2.CV_32F)
        alpha = np.clip(cv2.add(alpha, enlarged(matte.b)), 0.0, 1.0)
        channels = []
        for channel in (2, 1, 0):  # one by one: numpy broadcasts over pixels slowly
            person = enlarged(np.ascontiguousarray(composition.person[..., channel]))
            around: FloatArray | np.float32 = np.float32(1)
            if composition.background is not None:
                around = enlarged(np.ascontiguousarray(composition.background[..., channel]))
            change = person - around
            for residual in composition.residuals:
                _add(residual, channel, change, window)
            channels.append(change * alpha + around)
        field = self._buffer("field", (*alpha.shape, 3))
        return np.asarray(cv2.merge(channels, dst=field), np.float32)

    def _multiply(
        self, frame: BgrImage, field: FloatArray, window: Window, output: BgrImage
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


def _add(residual: ResidualGain, channel: int, values: Map, window: Window) -> None:
    """Adds one channel of a residual to a window of the half-size frame, in place."""
    left, top, side = residual.left, residual.top, residual.side
    scale = side / residual.values.shape[0]
    x0, y0 = max(math.floor(left), window.left), max(math.floor(top), window.top)
    x1 = min(math.ceil(left + side), window.right)
    y1 = min(math.ceil(top + side), window.bottom)
    if x0 >= x1 or y0 >= y1:
        return
    shift = (left - x0 + scale / 2 - 0.5, top - y0 + scale / 2 - 0.5)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    spread = cv2.warpAffine(
        np.ascontiguousarray(residual.values[..., channel]), matrix, (x1 - x0, y1 - y0)
    )
    part = values[y0 - window.top : y1 - window.top, x0 - window.left : x1 - window.left]
    part += spread
