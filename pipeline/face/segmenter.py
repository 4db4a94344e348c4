"""Person mask (MediaPipe selfie segmentation), smoothed over time."""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, Map
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.face.models import load_model


@dataclass(frozen=True, slots=True)
class SegmenterParams:
    """Which model is used, and how its masks are smoothed over time."""

    wide: float = 1.3
    """Images wider than this over their height use the model trained on wide ones."""
    still: float = 0.44
    """Fraction of a small change that is taken over per look, every second frame..."""
    moved: float = 0.35
    """...and the change of the mask from which all of it is."""


_PARAMS = SegmenterParams()


class PersonSegmenter:
    """One per stream: the mask is smoothed over time where it hardly changes."""

    def __init__(self, params: SegmenterParams = _PARAMS) -> None:
        """Loads the models, where nobody else has; `params` say how they are used."""
        self._params = params
        self._wide = load_model("selfie_segmentation_landscape.tflite")
        self._square = load_model("selfie_segmentation.tflite")
        self._last: Map | None = None
        self._quarter_turns = 0

    def reset(self) -> None:
        """Forgets the frames before."""
        self._last = None

    def segment(self, image: BgrImage, quarter_turns: int = 0) -> Map:
        """How much of each pixel is a person's.

        Args:
            image: `(H, W, 3)`.
            quarter_turns: counterclockwise, by which the image is turned until people are upright
                in it; the models know no others.

        Returns:
            `(h, w)` in 0..1 at the model's resolution, stretched over the whole image.
        """
        if quarter_turns != self._quarter_turns:
            self._last, self._quarter_turns = None, quarter_turns
        upright = self._segment_upright(np.rot90(image, quarter_turns))
        mask: Map = np.ascontiguousarray(np.rot90(upright, -quarter_turns))
        last = self._last
        if last is not None and last.shape == mask.shape:
            change, params = mask - last, self._params
            taken = np.abs(change) * ((1 - params.still) / params.moved) + params.still
            mask = last + change * np.minimum(taken, 1.0)
        self._last = mask
        return mask

    def _segment_upright(self, image: BgrImage) -> Map:
        height, width = image.shape[:2]
        wide = width > height * self._params.wide
        model = self._wide if wide else self._square
        small = resize(image, (model.width, model.height))
        pixels = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.float32) * (1 / 255)
        mask: Map = model(pixels)[0][0, :, :, 0]
        return mask
