"""Carries frames to one sink, on a thread of its own."""

import logging
import threading
from collections.abc import Callable

from vcam_relight.vcam.core.backoff import Backoff
from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.core.log_context import session_thread
from vcam_relight.vcam.core.mailbox import Mailbox
from vcam_relight.vcam.core.stats import Rate
from vcam_relight.vcam.sinks import ProcessedFrame, Sink

log = logging.getLogger(__name__)

FILL_S = 0.5
"""After that long without a frame a sink that needs filler gets it."""


class SinkRunner:
    """Feeds one sink from its own slot on its own thread; a failed sink is opened again later."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.mailbox: Mailbox[ProcessedFrame] = Mailbox()
        self.rate = Rate()
        self.problem = ""
        self._stop = threading.Event()
        self._thread = session_thread(self._run, f"sink {sink.label}")

    def start(self) -> None:
        """Starts the thread; the sink is opened on it."""
        self._thread.start()

    def stop(self) -> None:
        """Writes what is in the slot, closes the sink."""
        self._stop.set()
        self.mailbox.close()
        if self._thread.ident is not None:
            self._thread.join(timeout=10.0)

    def _run(self) -> None:
        backoff = Backoff()
        while True:
            complete = self._guarded(self._open_and_write, backoff)
            self._guarded(self.sink.close)  # a file may fail to complete: a full disk
            if complete or self._stop.wait(backoff.next()):
                return

    def _guarded(self, call: Callable[..., None], *args: object) -> bool:
        """Calls it; False when it failed, which must not end the other sinks."""
        try:
            call(*args)
            return True
        except SinkError as error:
            self._fail(str(error))
        except Exception as error:
            log.debug("sink %s", self.sink.label, exc_info=True)
            self._fail(f"{self.sink.label} failed: {error}")
        return False

    def _open_and_write(self, backoff: Backoff) -> None:
        self.sink.open()
        if not self.sink.needs_filler:
            while (frame := self.mailbox.take()) is not None:
                self._write(frame, backoff)
            return
        while (frame := self.mailbox.take(FILL_S)) is not None or not self.mailbox.closed:
            if frame is not None:
                self._write(frame, backoff)
            else:
                self.sink.fill()
                self._succeeded(backoff)

    def _write(self, frame: ProcessedFrame, backoff: Backoff) -> None:
        self.sink.write(frame)
        self.rate.tick()
        self._succeeded(backoff)

    def _succeeded(self, backoff: Backoff) -> None:
        self.problem = ""
        backoff.reset()

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
