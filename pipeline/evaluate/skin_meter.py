"""What a light change makes of the skin of a portrait, measured against the portrait itself."""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import DECODE_8BIT, LUMINANCE_RGB
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.evaluate.color_difference import Lab, delta_e76, delta_e2000, lab
from vcam_relight.pipeline.evaluate.metrics import Mask
from vcam_relight.pipeline.evaluate.stills import Metrics
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.types import FaceState

_BLUR = 0.01
"""Of the image's width, sigma: colours are compared without pores and noise."""
_BODY = 0.9
"""Mask value of a person's pixels."""


@dataclass(frozen=True)
class SkinMeter:
    """One well lit portrait, and where its skin is."""

    image: BgrImage
    skin: Mask
    body: Mask
    middle: float
    """Column that parts the face in two."""
    width: float
    """Of the face, pixels."""

    @staticmethod
    def of(image: BgrImage, faces: FaceState) -> "SkinMeter | None":
        """Of the faces in it; None where there is no skin."""
        height, width = image.shape[:2]
        skin = FrameContext(image, faces).skin
        large = cv2.resize(skin, (width, height), interpolation=cv2.INTER_NEAREST) > 0
        if not large.any():
            return None
        columns = np.flatnonzero(large.any(axis=0))
        body = resize(faces.mask, (width, height)) > _BODY
        span = float(columns[-1] - columns[0] + 1)
        return SkinMeter(image, large, body, float(columns.mean()), span)

    @property
    def tone(self) -> float:
        """Apparent individual typology angle of the skin, degrees."""
        light, _, yellow = np.median(self._lab[self.skin], axis=0)
        return float(np.degrees(np.arctan2(light - 50, yellow)))

    def measure(self, output: BgrImage) -> Metrics:
        """Metrics of another image of the same portrait."""
        before, after = _light(self.image), _light(output)
        skin = self.skin
        colours = lab(output, _BLUR * output.shape[1])
        shift = np.hypot(*np.moveaxis(colours - self._lab, -1, 0)[1:])
        one, other = before[skin], after[skin]
        return {
            "skin_error": float(delta_e76(colours, self._lab)[skin].mean()),
            "skin_error_2000": float(delta_e2000(colours, self._lab)[skin].mean()),
            "luminance_ratio": float(other.mean() / one.mean()),
            "highlight_ratio": float(np.percentile(other, 99) / np.percentile(one, 99)),
            "contrast_ratio": float((other.std() / other.mean()) / (one.std() / one.mean())),
            "noise_ratio": _noise(output, skin) / max(_noise(self.image, skin), 1e-3),
            "side_ratio": self._sides(after) / self._sides(before),
            "shadow_edge": self._edge(before, after),
            "skin_shift": float(shift[skin].mean()),
            "body_shift": float(np.percentile(shift[self.body | skin], 95)),
        }

    @property
    def _lab(self) -> Lab:
        return lab(self.image, _BLUR * self.image.shape[1])

    def _sides(self, light: Map) -> float:
        """Luminance of the face's left half over its right half's."""
        left = self.skin.copy()
        left[:, round(self.middle) :] = False
        right = self.skin & ~left
        return float(light[left].mean() / max(float(light[right].mean()), 1e-6))

    def _edge(self, before: Map, after: Map) -> float:
        """How steep the light change's steepest twentieth is, in natural logarithms a face wide."""
        change = np.log((after + 1e-2) / (before + 1e-2)).astype(np.float32)
        change = np.asarray(cv2.GaussianBlur(change, (0, 0), 0.01 * self.width + 0.5), np.float32)
        down, right = np.gradient(change)
        return float(np.percentile(np.hypot(down, right)[self.skin], 95) * self.width)


def mean_log_light(image: BgrImage, skin: Mask) -> float:
    """Mean natural logarithm of the skin's luminance."""
    return float(np.log(_light(image)[skin] + 1e-3).mean())


def _light(image: BgrImage) -> Map:
    linear: FloatArray = DECODE_8BIT[image]
    return np.asarray(linear @ LUMINANCE_RGB[::-1], np.float32)


def _noise(image: BgrImage, skin: Mask) -> float:
    """Robust standard deviation of what a small blur takes away, in levels of 255."""
    luma = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.float32)
    rough = luma - cv2.GaussianBlur(luma, (0, 0), 1.0)
    return 1.4826 * float(np.median(np.abs(rough[skin])))
