"""468 landmarks with depth inside a region (MediaPipe face mesh; Kartynnik et al. 2019)."""

import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.face.models import ModelLoader, load_model
from vcam_relight.pipeline.face.region import Region


class FaceLandmarker:
    """Wraps the model."""

    def __init__(self, load: ModelLoader = load_model) -> None:
        self._model = load("face_landmark.tflite")

    def find(self, image: BgrImage, region: Region) -> tuple[FloatArray, float]:
        """Landmarks in a region of a BGR image.

        Returns:
            `(468, 3)` landmarks in pixels of the image (z grows away from the camera), and the
            probability that there is a face at all.
        """
        size = self._model.width
        points, logit = self._model.look(region.crop(image, size))
        landmarks = region.to_image(points.reshape(468, 3), size)
        return landmarks, float(1 / (1 + np.exp(-np.clip(logit.item(), -80, 80))))
