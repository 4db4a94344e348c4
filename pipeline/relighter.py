"""One video's relighting: follows the faces, then runs the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from vcam_relight.pipeline.compositing.backdrop import KEEP, Backdrop, BackdropCompositor
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.process import prepare_for_frames
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL, Effort
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import OFF, Lighting

if TYPE_CHECKING:
    from vcam_relight.pipeline.compositing.portrait import Portrait
    from vcam_relight.pipeline.cuda.device import Card
    from vcam_relight.pipeline.face.tracker import FaceTracker


class Relight(Protocol):
    """What a frame loop needs of a relighter."""

    timer: StageTimer
    effort: Effort
    """What the next frame is worth."""
    backdrop: Backdrop
    """What the next frame is to have behind its people."""

    @property
    def runs_on(self) -> str:
        """As of `Engine.runs_on`."""

    def process(
        self, image: BgrImage, time: float, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """One frame; see `Relighter.process`."""

    def portrait(self, image: BgrImage, time: float) -> Portrait | None:
        """The largest head of the frame just processed; see `Relighter.portrait`."""

    def reset(self) -> None:
        """Forgets the frames before."""

    def close(self) -> None:
        """Frees what it holds."""


class Relighter:
    """A face tracker and one stream of an engine. Use it from one thread, and close it."""

    def __init__(self, engine: Engine, failed: Callable[[Engine], None] | None = None) -> None:
        """Opens a stream of an engine; see `prepare_for_frames` for what that sets.

        Args:
            engine: may serve other relighters as well, and is left open.
            failed: told of the engine when a frame raises, as `EnginePool.discard` wants it.

        Raises:
            OSError, RuntimeError: the tracker's models are missing or do not load.
        """
        prepare_for_frames()
        self.engine = engine
        self.timer = StageTimer()
        self.effort = FULL
        self.backdrop = KEEP
        self._backdrops = BackdropCompositor()
        self._failed = failed
        self._tracker = _tracker(self.timer, engine.card) if engine.needs_faces else None
        self._stream = engine.open_stream(self.timer)
        self._unseen = False
        """Whether the last frame passed through without anybody being looked for in it."""

    @property
    def runs_on(self) -> str:
        """As of `Engine.runs_on`."""
        return self.engine.runs_on

    def still(self, image: BgrImage, lighting: Lighting, settings: RelightSettings) -> BgrImage:
        """Relights a single image; forgets any frames before it.

        Arguments and result are those of `process`.
        """
        self.reset()
        self.timer.start_frame()
        if self._unchanged(lighting, settings):
            return image
        tracker = self._needed_tracker()
        faces = tracker.still(image) if tracker else _nobody(image, 0.0)
        result = self._stream.relight(image, faces, lighting, settings)
        self.reset()
        return self._with_backdrop(result, faces, settings)

    def process(
        self, image: BgrImage, time: float, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """Relights one frame.

        Args:
            image: `(H, W, 3)`; not written to.
            time: media time in seconds, growing from frame to frame.
            lighting: the target lighting.
            settings: the user's controls.

        Returns:
            `(H, W, 3)`, possibly `image` itself.
        """
        self.timer.start_frame()
        self._unseen = self._unchanged(lighting, settings)
        if self._unseen:
            return image
        return self._relight(image, time, lighting, settings)

    def portrait(self, image: BgrImage, time: float) -> Portrait | None:
        """The largest head of the frame that was processed last, to be shown small in any light.

        Args:
            image: that frame.
            time: its media time in seconds. Under a lighting of `off` nobody was looked for in it;
                that is done now.

        Returns:
            None where nobody is in it, or the engine knows no shapes.
        """
        if self._unseen:
            self._relight(image, time, OFF, RelightSettings())
        return self._stream.portrait()

    def _relight(
        self, image: BgrImage, time: float, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        tracker = self._needed_tracker()
        if tracker is None:
            faces = _nobody(image, time)
        else:
            faces = tracker.update(image, time, self.effort.mask_every)
            if faces.shot_change:
                self._stream.reset()
        self._stream.effort = self.effort
        try:
            shown = self._stream.relight(image, faces, lighting, settings)
        except Exception:
            if self._failed is not None:
                self._failed(self.engine)
            raise
        return self._with_backdrop(shown, faces, settings)

    def reset(self) -> None:
        """Forgets the frames before: a new source, a seek, a failed frame."""
        if self._tracker is not None:
            self._tracker.reset()
        self._stream.reset()

    def close(self) -> None:
        """Ends tracker and stream; may be called twice."""
        if self._tracker is not None:
            self._tracker.close()
        self._stream.close()

    def _unchanged(self, lighting: Lighting, settings: RelightSettings) -> bool:
        turned = settings.yaw or settings.pitch
        return lighting.mode == "off" and not turned and not self.backdrop.changes

    def _needed_tracker(self) -> FaceTracker | None:
        """The one there is; a backdrop needs one even where the engine needs none."""
        if self._tracker is None and self.backdrop.changes:
            self._tracker = _tracker(self.timer, self.engine.card)
        return self._tracker

    def _with_backdrop(
        self, shown: BgrImage, faces: FaceState, settings: RelightSettings
    ) -> BgrImage:
        if not self.backdrop.changes:
            return shown
        with self.timer.stage("backdrop"):
            if settings.yaw or settings.pitch:
                faces = _turned(faces, shown)
            return self._backdrops.apply(shown, faces, self.backdrop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _nobody(image: BgrImage, time: float) -> FaceState:
    height, width = image.shape[:2]
    return FaceState((width, height), image, time, (), np.zeros((1, 1), np.float32), False)


def _tracker(timer: StageTimer, card: Card | None) -> FaceTracker:
    # Imported late: without its TFLite runtime other engines, and the frames, go on.
    from vcam_relight.pipeline.cuda.image_models import models_on
    from vcam_relight.pipeline.face.tracker import FaceTracker

    return FaceTracker(timer, load=models_on(card))


def _turned(faces: FaceState, shown: BgrImage) -> FaceState:
    """With the mask of the view that is shown: the frame's own has another outline."""
    from vcam_relight.pipeline.face.segmenter import PersonSegmenter  # late, as above

    small = resize(shown, faces.small.shape[1::-1])
    return replace(faces, small=small, mask=PersonSegmenter().segment(small))
