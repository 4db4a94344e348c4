"""What is measured: engines, and the baselines that every engine must beat."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.engines.passthrough import PassthroughEngine
from vcam_relight.pipeline.evaluate.cases import RelightCase
from vcam_relight.pipeline.evaluate.media import MediaClip
from vcam_relight.pipeline.evaluate.metrics import best_gain, with_gain
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.relighter import Relighter

COPY_INPUT, BEST_GAIN, GROUND_TRUTH = "copy-input", "best gain", "truth"
"""Names of the baselines and of the ground truth in reports."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a method made of a case."""

    image: BgrImage
    missed: bool = False
    """No face was found; the image is the input."""


class Method(Protocol):
    """One row of the tables."""

    name: str

    def predict(self, case: RelightCase) -> Prediction:
        """The case's image under the target light."""


class EngineMethod:
    """An engine with a stream's face tracker around it, as in the product."""

    def __init__(self, engine: Engine, name: str | None = None) -> None:
        """Wraps an engine.

        Args:
            engine: what relights.
            name: in the tables; the engine's own unless given.

        Raises:
            OSError, RuntimeError: the tracker's models do not load.
        """
        self.name = name or engine.name
        self._needs_faces = engine.needs_faces
        self._relighter = Relighter(engine)

    def predict(self, case: RelightCase) -> Prediction:
        """The case's image under the target light."""
        return self.still(case.image, case.lighting)

    def still(
        self, image: BgrImage, lighting: Lighting, settings: RelightSettings | None = None
    ) -> Prediction:
        """Relights any image under any light."""
        relit = self._relighter.still(image, lighting, settings or RelightSettings())
        return Prediction(relit, missed=self._needs_faces and relit is image)

    def source_lighting(self, image: BgrImage, faces: FaceState) -> FloatArray | None:
        """The source lighting that the engine itself estimates.

        Returns:
            `(9, 3)` radiance coefficients; None when the engine does not tell, or cannot.
        """
        return self._relighter.engine.source_lighting(image, faces)

    def stream(self, clip: MediaClip, lightings: Sequence[Lighting]) -> list[BgrImage]:
        """Relights the frames of a clip as one stream, each under its own light."""
        self._relighter.reset()
        settings = RelightSettings()
        return [
            self._relighter.process(image, time, lighting, settings)
            for image, time, lighting in zip(clip.images, clip.times, lightings, strict=False)
        ]


class BestGainBaseline:
    """The person times the one gain of linear light that is best against the ground truth.

    It is what a brightness slider could reach at most.
    """

    name = BEST_GAIN

    def predict(self, case: RelightCase) -> Prediction:
        """Reads the ground truth, as no engine can."""
        gained = with_gain(case.image, best_gain(case.image, case.ground_truth, case.person))
        return Prediction(np.where(case.person[..., None], gained, case.image))


class GroundTruthMethod:
    """The ground truth itself: its metrics are the bounds of what can be measured."""

    name = GROUND_TRUTH

    def predict(self, case: RelightCase) -> Prediction:
        """The ground truth."""
        return Prediction(case.ground_truth)


def copy_input_baseline() -> EngineMethod:
    """The baseline that changes nothing."""
    return EngineMethod(PassthroughEngine(), COPY_INPUT)
