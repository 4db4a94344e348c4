"""Runs the engine that the settings ask for: loads it, survives its failures, tries it again."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.effort import FULL, Effort
from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.core.backoff import Backoff
from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.vcam.core.frame import Frame
from vcam_relight.vcam.settings.store import Snapshot
from vcam_relight.vcam.sinks import ProcessedFrame
from vcam_relight.vcam.stream.loading import Loading

log = logging.getLogger(__name__)


class EngineHost:
    """Relights the frames of one stream; use it from one thread.

    While the engine loads, and when it fails, frames pass through unchanged; a failed engine is
    tried again later.
    """

    def __init__(self, make_relighter: Callable[[str], Relight], load_grace_period: float) -> None:
        """Loads nothing yet.

        Args:
            make_relighter: engine name -> a fresh relighter; runs on a thread of its own.
            load_grace_period: seconds that frames wait for an engine that loads.
        """
        self._make = make_relighter
        self._load_grace_period = load_grace_period
        self._relighter: Relight | None = None
        self._loading: Loading[Relight] | None = None
        self._engine = ""
        self._generation = 0
        self._retry_at = 0.0
        self._backoff = Backoff()
        self.problem = ""
        """What is wrong with the engine now, with a hint; empty when all is well."""
        self.warm = False
        """Whether the engine has relit a frame, or failed to."""
        self.stages_ms: dict[str, float] = {}
        """Milliseconds of each stage of the last frame; empty when it passed through."""
        self.runs_on = ""
        """What does the engine's work; empty before its first frame."""

    def process(
        self,
        frame: Frame,
        generation: int,
        snapshot: Snapshot,
        effort: Effort = FULL,
        *,
        portrait: bool = False,
    ) -> ProcessedFrame:
        """Relights and mirrors one frame; never raises what an engine raises.

        Args:
            frame: the next of the stream.
            generation: how often the source had been opened when the frame came: another number
                begins a new stream.
            snapshot: the settings that hold for this frame.
            effort: what it is worth.
            portrait: whether one is wanted of the largest head.
        """
        settings = snapshot.settings
        output, head = frame, None
        self.stages_ms = {}
        if settings.engine != self._engine:
            self._choose(settings.engine)
        if time.perf_counter() >= self._retry_at:
            try:
                output = self._relight(frame, generation, snapshot, effort)
                if portrait and self._relighter is not None:
                    head = self._relighter.portrait(frame.image, frame.seconds)
            except Exception as error:  # whatever an engine raises, the stream goes on
                self._fail(error)
        if settings.mirror:
            original = _mirrored(frame)
            output = original if output is frame else _mirrored(output)
            return ProcessedFrame(output, original, snapshot.id, head)
        return ProcessedFrame(output, frame, snapshot.id, head)

    def close(self) -> None:
        """Closes the relighter, also one that is still loading, as soon as it is there."""
        relighter, loading = self._relighter, self._loading
        self._relighter, self._loading = None, None
        if relighter is not None:
            _close(relighter)
        elif loading is not None:
            loading.discard(_close)

    def _choose(self, engine: str) -> None:
        self.close()
        self._engine = engine
        self.problem, self._retry_at, self.warm = "", 0.0, False
        self._backoff.reset()

    def _relight(self, frame: Frame, generation: int, snapshot: Snapshot, effort: Effort) -> Frame:
        if self._relighter is None:
            if self._loading is None:
                make = partial(self._make, self._engine)
                self._loading = Loading(make, f"loading {self._engine}", self._load_grace_period)
            self._relighter = self._loading.get()
            if self._relighter is None:
                return frame
        elif generation != self._generation:
            self._relighter.reset()
        self._generation = generation
        relighter = self._relighter
        relighter.effort, relighter.backdrop = effort, snapshot.backdrop
        image = relighter.process(
            frame.image, frame.seconds, snapshot.lighting, snapshot.settings.relight
        )
        _check_image(image, frame.image)
        self.warm = True
        self.stages_ms = relighter.timer.ms
        self.runs_on = relighter.runs_on
        if self.problem:
            log.info("engine %s works again", self._engine)
            self.problem = ""
            self._backoff.reset()
        return frame if image is frame.image else replace(frame, image=image)

    def _fail(self, error: Exception) -> None:
        what = str(error) if isinstance(error, VcamError) else f"{type(error).__name__}: {error}"
        problem = (
            f"the engine {self._engine!r} failed ({what}), the picture passes through unchanged; "
            "choose another engine, or run `vcam doctor`"
        )
        if problem != self.problem:
            log.warning("%s", problem)
            log.debug("engine %s", self._engine, exc_info=error)
        self.problem, self.warm = problem, True
        self.close()
        self._retry_at = time.perf_counter() + self._backoff.next()


def _close(relighter: Relight) -> None:
    try:
        relighter.close()
    except Exception:  # it goes either way; what it could not free must not end the stream
        log.debug("closing a relighter", exc_info=True)


def _check_image(made: object, given: BgrImage) -> None:
    if not isinstance(made, np.ndarray):
        raise TypeError(f"it made no picture but {type(made).__name__}")
    if made.dtype != np.uint8 or made.shape != given.shape:
        raise TypeError(f"it made {made.dtype} {made.shape} of uint8 {given.shape}")


def _mirrored(frame: Frame) -> Frame:
    return replace(frame, image=np.asarray(cv2.flip(frame.image, 1), np.uint8))
