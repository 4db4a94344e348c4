"""The frame loop: source thread -> slot -> inference thread -> one slot and thread per sink.

Each slot is a `Mailbox`: size 1, the newest frame wins, drops are counted. Nothing here touches
an event loop; sockets read `status()` and write the settings.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.core.backoff import Backoff
from vcam_relight.vcam.core.errors import SourceError, VcamError
from vcam_relight.vcam.core.frame import Frame
from vcam_relight.vcam.core.mailbox import Mailbox
from vcam_relight.vcam.core.stats import LoopStats
from vcam_relight.vcam.settings.store import SettingsStore, Snapshot
from vcam_relight.vcam.sinks import ProcessedFrame, Sink
from vcam_relight.vcam.sources import Source
from vcam_relight.vcam.stream.loading import AT_ONCE_S, Loading
from vcam_relight.vcam.stream.sink_runner import SinkRunner

log = logging.getLogger(__name__)

State = Literal["starting", "running", "degraded", "idle", "stopped"]

WAKE_S = 0.05
"""How often a resting source looks whether somebody wants its frames."""


@dataclass(frozen=True, slots=True)
class Status:
    """The loop's state at one moment."""

    state: State
    reason: str
    """Why it is degraded or stopped, with the mend; empty when all is well."""
    applied: int
    """The id of the settings that made the newest picture."""
    size: tuple[int, int] | None
    """Width and height of the picture in pixels."""
    stats: dict[str, Any]


class FrameLoop:
    """Runs a stream from its source to its sinks until the source ends or `stop` is called."""

    def __init__(
        self,
        source: Source,
        make_relighter: Callable[[str], Relight],
        settings: SettingsStore,
        sinks: Sequence[Sink],
        idle_timeout: float | None = None,
        load_grace_period: float = AT_ONCE_S,
    ) -> None:
        """Args:
        source: gives the frames.
        make_relighter: engine name -> a fresh relighter; runs on a thread of its own, may
            raise, in which case the picture passes through.
        settings: read anew for each frame.
        sinks: each gets every frame that it is quick enough for.
        idle_timeout: seconds without a sink that wants frames, after which the source is let go
            of until one does; None: never.
        load_grace_period: seconds that frames wait for an engine; then they pass through while it loads.
        """
        self.source = source
        self.settings = settings
        self.stats = LoopStats()
        self.finished = threading.Event()
        """Set when the source has ended or the loop was stopped."""
        self.runners = [SinkRunner(sink) for sink in sinks]
        self._idle_timeout = idle_timeout
        self._load_grace_period = load_grace_period
        self._make_relighter = make_relighter
        self._inbox: Mailbox[_Arrival] = Mailbox()
        self._stop = threading.Event()
        self._started = False
        self._idle = False
        self._source_problem = ""
        self._inference_problem = ""
        self._applied = 0
        self._size: tuple[int, int] | None = None
        self._threads = [
            threading.Thread(target=self._run_source, name="source", daemon=True),
            threading.Thread(target=self._run_inference, name="inference", daemon=True),
        ]

    def start(self) -> None:
        """Starts all threads and returns."""
        for runner in self.runners:
            runner.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the stream, completes the sinks; returns when the threads have ended."""
        self._stop.set()
        self.source.close()
        self._inbox.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout=5.0)
        for runner in self.runners:
            runner.stop()
        self.finished.set()

    @property
    def problem(self) -> str:
        """What is wrong now, with the mend; empty when all is well."""
        problems = [self._source_problem, self._inference_problem]
        problems += [runner.problem for runner in self.runners]
        return "; ".join(filter(None, problems))

    def status(self) -> Status:
        """The state of the loop, from any thread."""
        problem = self.problem
        state: State
        if self.finished.is_set():
            state = "stopped"
        elif problem:
            state = "degraded"
        elif not self._started:
            state = "starting"
        elif self._idle:
            state = "idle"
        else:
            state = "running"
        drops = {"source": self._inbox.dropped}
        drops |= {runner.sink.label: runner.mailbox.dropped for runner in self.runners}
        sinks = {
            runner.sink.label: {
                "fps": round(runner.rate.per_second(), 1),
                "problem": runner.problem,
            }
            for runner in self.runners
        }
        stats = self.stats.to_json() | {"drops": drops, "sinks": sinks}
        return Status(state, problem, self._applied, self._size, stats)

    def _run_source(self) -> None:
        backoff = Backoff()
        opening = 0
        try:
            while not self._stop.is_set():
                opening += 1
                try:
                    self.source.open()
                    if self._read_all(opening, backoff):
                        return
                    self.source.close()
                    self._rest()
                    continue
                except SourceError as error:
                    self._source_failed(str(error))
                except Exception as error:  # a driver's surprise must not end the program
                    log.debug("source %s", self.source.label, exc_info=True)
                    self._source_failed(f"{self.source.label} failed: {error}")
                finally:
                    self.source.close()
                self._stop.wait(backoff.next())
        except Exception as error:  # it did not even close
            log.debug("source %s", self.source.label, exc_info=True)
            self._source_failed(f"{self.source.label} failed: {error}")
        finally:
            self._inbox.close()

    def _read_all(self, opening: int, backoff: Backoff) -> bool:
        """Reads until the stream ends or the loop stops (True), or nobody has wanted its frames
        for a while (False); raises when it is lost.
        """
        consumed_at = time.perf_counter()
        self._idle = not self._has_consumers()
        while not self._stop.is_set():
            frame = self.source.read()
            if frame is None:
                return True
            if self._source_problem:
                log.info("%s is back", self.source.label)
                self._source_problem = ""
            backoff.reset()
            self.stats.received.tick()
            self._inbox.put(_Arrival(frame, opening))
            self._idle = not self._has_consumers()
            now = time.perf_counter()
            if not self._idle:
                consumed_at = now
            elif self._idle_timeout is not None and now - consumed_at > self._idle_timeout:
                return False
        return True

    def _rest(self) -> None:
        log.debug("%s rests", self.source.label)
        while not self._has_consumers() and not self._stop.wait(WAKE_S):
            pass
        log.debug("%s is wanted again", self.source.label)

    def _has_consumers(self) -> bool:
        return any(runner.sink.has_consumers for runner in self.runners)

    def _source_failed(self, problem: str) -> None:
        if self._stop.is_set():
            return
        if problem != self._source_problem:
            log.warning("%s", problem)
        self._source_problem = problem

    def _run_inference(self) -> None:
        worker = _Inference(self._make_relighter, self._load_grace_period)
        try:
            while (arrival := self._inbox.take()) is not None:
                frame = arrival.frame
                idle = not self._has_consumers()
                self._started = True
                height, width = frame.image.shape[:2]
                self._size = (width, height)
                if idle and worker.warm:
                    continue
                snapshot = self.settings.current
                processed = worker.relight(arrival, snapshot)
                self._inference_problem = worker.problem
                if idle:  # it was relit so that who looks first need not wait for models
                    continue
                self._applied = snapshot.id
                self.stats.add_stages(worker.stages)
                self.stats.processed.tick()
                self.stats.latency.add((time.perf_counter() - frame.captured) * 1e3)
                for runner in self.runners:
                    if runner.sink.has_consumers:
                        runner.mailbox.put(processed)
        except Exception as error:  # not the engine's: those are caught where it is called
            log.debug("inference", exc_info=True)
            self._inference_problem = (
                f"the picture stopped ({type(error).__name__}: {error}); "
                "please report it; -v shows the trace"
            )
        finally:
            worker.close()
            self.finished.set()


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A frame and how often the source had been opened when it came."""

    frame: Frame
    opening: int


class _Inference:
    """Relights frames; while the engine loads, and when it fails, the picture passes through; later
    it is tried again.
    """

    def __init__(self, make_relighter: Callable[[str], Relight], load_grace_period: float) -> None:
        self._make = make_relighter
        self._load_grace_period = load_grace_period
        self._relighter: Relight | None = None
        self._loading: Loading[Relight] | None = None
        self._engine = ""
        self._opening = 0
        self._retry_at = 0.0
        self._backoff = Backoff()
        self.problem = ""
        self.warm = False
        """Whether the engine has relit a frame, or failed to."""
        self.stages: dict[str, float] = {}

    def relight(self, arrival: _Arrival, snapshot: Snapshot) -> ProcessedFrame:
        settings = snapshot.settings
        output = frame = arrival.frame
        self.stages = {}
        if settings.engine != self._engine:
            self.close()
            self._engine = settings.engine
            self.problem, self._retry_at, self.warm = "", 0.0, False
            self._backoff.reset()
        if time.perf_counter() >= self._retry_at:
            try:
                output = self._run_engine(arrival, snapshot)
            except Exception as error:  # whatever an engine raises, the picture goes on
                self._fail(error)
        if settings.mirror:
            original = _mirrored(frame)
            output = original if output is frame else _mirrored(output)
            return ProcessedFrame(output, original, snapshot.id)
        return ProcessedFrame(output, frame, snapshot.id)

    def close(self) -> None:
        """Closes the relighter, and one that is being loaded when it is there."""
        if self._relighter is not None:
            self._relighter.close()
        self._relighter, self._loading = None, None

    def _run_engine(self, arrival: _Arrival, snapshot: Snapshot) -> Frame:
        frame = arrival.frame
        if self._relighter is None:
            if self._loading is None:
                make = partial(self._make, self._engine)
                self._loading = Loading(make, f"loading {self._engine}", self._load_grace_period)
            self._relighter = self._loading.get()
            if self._relighter is None:
                return frame
        elif arrival.opening != self._opening:  # the source was lost: this is a new stream
            self._relighter.reset()
        self._opening = arrival.opening
        relighter = self._relighter
        image = relighter.process(
            frame.image, frame.seconds, snapshot.lighting, snapshot.settings.relight
        )
        _check_image(image, frame.image)
        self.warm = True
        self.stages = relighter.timer.ms
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


def _check_image(made: object, given: BgrImage) -> None:
    if not isinstance(made, np.ndarray):
        raise TypeError(f"it made no picture but {type(made).__name__}")
    if made.dtype != np.uint8 or made.shape != given.shape:
        raise TypeError(f"it made {made.dtype} {made.shape} of uint8 {given.shape}")


def _mirrored(frame: Frame) -> Frame:
    return replace(frame, image=np.asarray(cv2.flip(frame.image, 1), np.uint8))
