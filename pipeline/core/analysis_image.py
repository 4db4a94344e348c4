"""A frame at the analysis resolution, at which light is worked out."""

from functools import cached_property

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import linear_rgb
from vcam_relight.pipeline.core.image import BgrImage, GrayImage, LinearRgb


class AnalysisImage:
    """`(h, w, 3)`; what is derived of it is made when it is first asked for."""

    def __init__(self, bgr: BgrImage) -> None:
        self.bgr = bgr

    @cached_property
    def linear(self) -> LinearRgb:
        """`(h, w, 3)` its linear light."""
        return linear_rgb(self.bgr)

    @cached_property
    def luma(self) -> GrayImage:
        """`(h, w)` its luma."""
        return np.asarray(cv2.cvtColor(self.bgr, cv2.COLOR_BGR2GRAY), np.uint8)
