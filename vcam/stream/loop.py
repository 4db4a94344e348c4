"""The frame loop: source thread -> slot -> inference thread -> one slot and thread a sink.

Each slot is a `Mailbox`: size 1, the newest frame wins, drops are counted. Nothing here touches
an event loop; sockets read `status()` and write the settings.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from vcam_relight.pipeline.effort import EFFORTS, FULL
from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.core.backoff import Backoff
from vcam_relight.vcam.core.errors import SourceError
from vcam_relight.vcam.core.frame import Frame
from vcam_relight.vcam.core.log_context import session_thread
from vcam_relight.vcam.core.mailbox import Mailbox
from vcam_relight.vcam.core.stats import LoopStats
from vcam_relight.vcam.settings.store import SettingsStore
from vcam_relight.vcam.sinks import Sink
from vcam_relight.vcam.sources import Source
from vcam_relight.vcam.stream.engine_host import EngineHost
from vcam_relight.vcam.stream.governor import Governor
from vcam_relight.vcam.stream.loading import LOAD_GRACE_PERIOD_S
from vcam_relight.vcam.stream.sink_runner import SinkRunner

log = logging.getLogger(__name__)

State = Literal["starting", "running", "degraded", "idle", "stopped"]

WAKE_INTERVAL_S = 0.05
"""How often a source that rests asks whether a sink has consumers."""


@dataclass(frozen=True, slots=True)
class EffortStatus:
    """What frames are worth at one moment."""

    level: int
    """Steps below the highest."""
    name: str
    reason: str
    """Why it is below the highest; empty where it is not."""


@dataclass(frozen=True, slots=True)
class Status:
    """The loop's state at one moment."""

    state: State
    reason: str
    """Why it is degraded or stopped, with a hint; empty when all is well."""
    applied: int
    """The id of the settings that made the newest image."""
    size: tuple[int, int] | None
    """Width and height of the newest image in pixels."""
    stats: dict[str, Any]
    effort: EffortStatus
    runs_on: str
    """What does the engine's work, as of `Engine.runs_on`; empty before its first frame."""


class FrameLoop:
    """Runs a stream from its source to its sinks until the source ends or `stop` is called."""

    def __init__(
        self,
        source: Source,
        make_relighter: Callable[[str], Relight],
        settings: SettingsStore,
        sinks: Sequence[Sink],
        idle_timeout: float | None = None,
        load_grace_period: float = LOAD_GRACE_PERIOD_S,
        governor: Governor | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            source: gives the frames.
            make_relighter: engine name -> a fresh relighter; runs on a thread of its own, may
                raise, in which case frames pass through.
            settings: read anew for each frame.
            sinks: each gets every frame that it is quick enough for.
            idle_timeout: seconds without a consumer after which a source that can rest is closed,
                and one that can pause is not read, until there is one; None: never.
            load_grace_period: seconds that frames wait for an engine; then they pass through
                while it loads.
            governor: chooses what frames are worth, for this loop alone; None: always the most.
        """
        self.source = source
        self.settings = settings
        self.stats = LoopStats()
        self.finished = threading.Event()
        """Set when the source has ended or the loop was stopped."""
        self.runners = [SinkRunner(sink) for sink in sinks]
        self._idle_timeout = idle_timeout
        self._load_grace_period = load_grace_period
        self._governor = governor
        self._make_relighter = make_relighter
        self._inbox: Mailbox[_Arrival] = Mailbox()
        self._stop = threading.Event()
        self._next: _NextSource | None = None
        self._change = threading.Lock()  # of source or sinks
        self._started = False
        self._idle = False
        self._source_problem = ""
        self._inference_problem = ""
        self._applied = 0
        self._runs_on = ""
        self._size: tuple[int, int] | None = None
        self._threads = [
            session_thread(self._run_source, "source"),
            session_thread(self._run_inference, "inference"),
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
        try:
            self.source.close()
        except Exception:  # the sinks must be completed all the same
            log.debug("source %s", self.source.label, exc_info=True)
        self._inbox.close()
        with self._change:
            switch, self._next = self._next, None
        if switch is not None:
            switch.refuse(SourceError("the program ends"))
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout=5.0)
        for runner in self.runners:
            runner.stop()
        self.finished.set()

    def switch(self, source: Source) -> "Future[None]":
        """Goes on with another source, or, where it does not open, with the one that there is.

        Args:
            source: not open, unless it opened by itself; the loop closes it in the end.

        Returns:
            What is done when its first frame can be read; or has the `SourceError`.
        """
        switch = _NextSource(source, Future())
        if self._stop.is_set() or self.finished.is_set():
            switch.refuse(SourceError("the program ends"))
            return switch.done
        with self._change:
            before, self._next = self._next, switch
        if before is not None:
            before.refuse(SourceError("another source was chosen meanwhile"))
        self.source.close()  # wakes its `read`
        return switch.done

    def add(self, sink: Sink) -> None:
        """Gives a sink frames from now on."""
        runner = SinkRunner(sink)
        runner.start()
        with self._change:
            self.runners = [*self.runners, runner]  # a new list: others are looking at the old one

    def remove(self, sink: Sink) -> str:
        """Completes a sink, which gets no more frames; what was wrong with it in the end.

        Blocks for as long as that takes.
        """
        with self._change:
            leaving = [runner for runner in self.runners if runner.sink is sink]
            self.runners = [runner for runner in self.runners if runner.sink is not sink]
        for runner in leaving:
            runner.stop()
        return "; ".join(runner.problem for runner in leaving if runner.problem)

    @property
    def problem(self) -> str:
        """What is wrong now, with a hint; empty when all is well."""
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
        level, reason = 0, ""
        if self._governor is not None:
            level, reason = self._governor.level, self._governor.reason
        effort = EffortStatus(level, EFFORTS[level].name, reason)
        return Status(state, problem, self._applied, self._size, stats, effort, self._runs_on)

    def _run_source(self) -> None:
        backoff = Backoff()
        generation = 0
        try:
            while not self._stop.is_set():
                generation += 1
                try:
                    self._open()
                    if self._read_all(generation, backoff):
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
                self._pause(backoff.next())
        except Exception as error:  # it did not even close
            log.debug("source %s", self.source.label, exc_info=True)
            self._source_failed(f"{self.source.label} failed: {error}")
        finally:
            self._inbox.close()

    def _open(self) -> None:
        with self._change:
            switch, self._next = self._next, None
        if switch is None:
            self.source.open()
            return
        self.source.close()  # both may be the same camera, in another size
        try:
            switch.source.open()
        except Exception as error:
            log.debug("source %s", switch.source.label, exc_info=True)
            what = str(error) if isinstance(error, SourceError) else f"{type(error).__name__}"
            log.warning("%s stays: %s", self.source.label, what)
            switch.refuse(error)
            self.source.open()
            return
        self.source = switch.source
        self._source_problem = ""
        switch.done.set_result(None)

    def _pause(self, seconds: float) -> None:
        """Until so long is over, the loop stops, or there is another source to try."""
        end = time.perf_counter() + seconds
        while self._next is None and (left := end - time.perf_counter()) > 0:
            if self._stop.wait(min(left, WAKE_INTERVAL_S)):
                return

    def _read_all(self, generation: int, backoff: Backoff) -> bool:
        """Reads on; raises when the source is lost.

        Returns:
            True at the end of the stream or of the loop, False when there was no consumer for
            `idle_timeout`, or there is another source.
        """
        consumed_at = time.perf_counter()
        self._idle = not self._has_consumers()
        rests = self.source.can_rest or self.source.can_pause
        while not self._stop.is_set():
            frame = self.source.read()
            if self._next is not None:
                return False
            if frame is None:
                return True
            if self._source_problem:
                log.info("%s is back", self.source.label)
                self._source_problem = ""
            backoff.reset()
            self.stats.received.tick()
            self._inbox.put(_Arrival(frame, generation))
            self._idle = not self._has_consumers()
            now = time.perf_counter()
            if not self._idle:
                consumed_at = now
            elif rests and self._idle_timeout and now - consumed_at > self._idle_timeout:
                if not self.source.can_pause:
                    return False
                self._rest()
        return True

    def _rest(self) -> None:
        log.debug("%s rests", self.source.label)
        while not self._has_consumers() and self._next is None:
            if self._stop.wait(WAKE_INTERVAL_S):
                break
        log.debug("%s wakes", self.source.label)

    def _has_consumers(self) -> bool:
        return any(runner.sink.has_consumers for runner in self.runners)

    def _source_failed(self, problem: str) -> None:
        if self._stop.is_set() or self._next is not None:
            return
        if problem != self._source_problem:
            log.warning("%s", problem)
        self._source_problem = problem

    def _run_inference(self) -> None:
        engine = EngineHost(self._make_relighter, self._load_grace_period)
        try:
            while (arrival := self._inbox.take()) is not None:
                frame = arrival.frame
                idle = not self._has_consumers()
                self._started = True
                height, width = frame.image.shape[:2]
                self._size = (width, height)
                if idle and engine.warm:
                    if self._governor is not None:
                        self._governor.rest()
                    continue
                snapshot = self.settings.current
                begin = time.perf_counter()
                effort = self._governor.effort if self._governor is not None else FULL
                portrait = any(
                    runner.sink.needs_portrait and runner.sink.has_consumers
                    for runner in self.runners
                )
                processed = engine.process(
                    frame, arrival.generation, snapshot, effort, portrait=portrait
                )
                if self._governor is not None:
                    self._govern(self._governor, begin, relit=bool(engine.stages_ms))
                self._inference_problem = engine.problem
                self._runs_on = engine.runs_on
                if idle:  # it was relit so that who looks first need not wait for models
                    continue
                self._applied = snapshot.id
                self.stats.add_stages(engine.stages_ms)
                self.stats.processed.tick()
                self.stats.latency.add((time.perf_counter() - frame.captured) * 1e3)
                for runner in self.runners:
                    sink = runner.sink
                    if sink.has_consumers and (portrait or not sink.needs_portrait):
                        runner.mailbox.put(processed)
        except Exception as error:  # not the engine's: those are caught where it is called
            log.debug("inference", exc_info=True)
            self._inference_problem = (
                f"the picture stopped ({type(error).__name__}: {error}); "
                "please report it; -v shows the trace"
            )
        finally:
            engine.close()
            self.finished.set()

    def _govern(self, governor: Governor, begin: float, *, relit: bool) -> None:
        if not relit:  # an engine loads or fails: that tells nothing of the machine
            governor.rest()
            return
        before = governor.level
        governor.frame(begin, time.perf_counter(), self._inbox.dropped)
        if governor.level != before:
            log.debug("effort: %s (%s)", governor.effort.name, governor.reason or "there is room")


@dataclass(frozen=True, slots=True)
class _NextSource:
    """A source to go on with, and who waits for it."""

    source: Source
    done: "Future[None]"

    def refuse(self, error: Exception) -> None:
        """It is not to be; it is closed, should it be open."""
        self.source.close()
        self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A frame and how often the source had been opened when it came."""

    frame: Frame
    generation: int
