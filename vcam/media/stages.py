"""Pipeline stages for files: they overlap, each on its own thread, in order, dropping nothing."""

import queue
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")

PREFETCH = 4
"""Items in the queue between two stages. When it is full the earlier stage waits: a file has no
deadline, so here, unlike in the live loop, nothing is dropped."""

_POLL_S = 0.1


class PipelineStage(Generic[T]):
    """Runs through `items` on a thread of its own, `PREFETCH` items ahead of the reader.

    What the items raise is raised to the reader, after the items before it. Leaving the `with`
    block stops the thread, wherever it is.
    """

    def __init__(self, items: Iterable[T], name: str) -> None:
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(PREFETCH)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> "PipelineStage[T]":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while not self._stop.is_set():
            try:
                item = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _run(self) -> None:
        error: Exception | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except Exception as raised:  # handed on to the reader
            error = raised
        self._put(_End(error))

    def _put(self, item: "T | _End") -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False


class _End:
    def __init__(self, error: Exception | None) -> None:
        self.error = error
