"""The compositor in C++: one pass, a quarter of OpenCV's time."""

import cv2
import numpy as np

from vcam_relight.pipeline.compositing.base import Composition, LightChange
from vcam_relight.pipeline.compositing.guided_filter import MatteParams
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.native.composition import ComposeKernel


class NativeCompositor:
    """Runs `pipeline/native/composition.cpp`."""

    def __init__(self, kernel: ComposeKernel, params: MatteParams | None = None) -> None:
        self._kernel = kernel
        self._params = params or MatteParams()

    def apply(self, frame: BgrImage, change: LightChange) -> BgrImage:
        """See `Compositor`."""
        composition = Composition.of(frame, change, self._params)
        if composition is None:
            return frame
        output = composition.canvas(frame)
        matte, background = composition.matte, composition.background
        size = (matte.a.shape[1], matte.a.shape[0])
        person = resize(composition.person, size)
        around = np.ones_like(person) if background is None else resize(background, size)
        grid = cv2.merge([matte.a, matte.b, *cv2.split(person), *cv2.split(around)])
        patches = [(one.values, one.left, one.top, one.side) for one in composition.residuals]
        self._kernel(frame, np.asarray(grid, np.float32), patches, composition.window, output)
        return output
