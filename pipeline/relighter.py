"""One stream's relighting: follows the faces, then runs the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import Lighting

if TYPE_CHECKING:
    from vcam_relight.pipeline.face import FaceTracker


class Relight(Protocol):
    """What a frame loop needs of a relighter."""

    timer: StageTimer

    def process(
        self, image: BgrImage, time: float, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """One frame; see `Relighter.process`."""

    def reset(self) -> None:
        """Forget the stream."""


class Relighter:
    """Face tracker, engine and the stream's state in one object; use it from one thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.timer = StageTimer()
        self._tracker = _tracker(self.timer) if engine.needs_faces else None
        self._state = engine.new_state(self.timer)

    def still(self, image: BgrImage, lighting: Lighting, settings: RelightSettings) -> BgrImage:
        """Relights a picture that is not part of a stream; forgets any stream before it.

        Args and result: as of `process`.
        """
        self.reset()
        self.timer.start_frame()
        if _unchanged(lighting, settings):
            return image
        faces = self._tracker.still(image) if self._tracker else _nobody(image, 0.0)
        result = self.engine.relight(image, faces, lighting, settings, self._state)
        self.reset()
        return result

    def process(
        self, image: BgrImage, time: float, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """Relights one frame.

        Args:
            picture: `(H, W, 3)` uint8 BGR; not written to.
            time: media time in seconds, growing from frame to frame.
            lighting: the light asked for.
            settings: the user's controls.

        Returns:
            A picture of the same shape, possibly `image` itself.
        """
        self.timer.start_frame()
        if _unchanged(lighting, settings):
            return image
        if self._tracker is None:
            faces = _nobody(image, time)
        else:
            faces = self._tracker.update(image, time)
            if faces.cut:
                self._state.reset()
        return self.engine.relight(image, faces, lighting, settings, self._state)

    def reset(self) -> None:
        """Forget the stream: a new source, a seek, a failed frame."""
        if self._tracker is not None:
            self._tracker.reset()
        self._state.reset()


def _unchanged(lighting: Lighting, settings: RelightSettings) -> bool:
    return lighting.mode == "off" and not (settings.yaw or settings.pitch)


def _nobody(image: BgrImage, time: float) -> FaceState:
    height, width = image.shape[:2]
    return FaceState((width, height), time, (), np.zeros((1, 1), np.float32), False)


def _tracker(timer: StageTimer) -> FaceTracker:
    # Imported late: without its TFLite runtime other engines, and the picture, go on.
    from vcam_relight.pipeline.face import FaceTracker

    return FaceTracker(timer)
