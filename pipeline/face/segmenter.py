"""Person mask of one image (MediaPipe selfie segmentation)."""

import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, Map
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.face.models import ModelLoader, load_model

_WIDE = 1.3
"""Images wider than this over their height use the model trained on wide ones."""


class PersonSegmenter:
    """Wraps the models; safe from any thread."""

    def __init__(self, load: ModelLoader = load_model) -> None:
        """Loads the models, where nobody else has."""
        self._wide = load("selfie_segmentation_landscape.tflite")
        self._square = load("selfie_segmentation.tflite")

    def segment(self, image: BgrImage, quarter_turns: int = 0) -> Map:
        """How much of each pixel is a person's.

        Args:
            image: `(H, W, 3)`.
            quarter_turns: counterclockwise, by which the image is turned until people are upright
                in it; the models know no others.

        Returns:
            `(h, w)` in 0..1 at the model's resolution, stretched over the whole image.
        """
        upright = self._segment_upright(np.rot90(image, quarter_turns))
        return np.ascontiguousarray(np.rot90(upright, -quarter_turns))

    def _segment_upright(self, image: BgrImage) -> Map:
        height, width = image.shape[:2]
        wide = width > height * _WIDE
        model = self._wide if wide else self._square
        mask: Map = model.look(resize(image, (model.width, model.height)))[0][0, :, :, 0]
        return mask
