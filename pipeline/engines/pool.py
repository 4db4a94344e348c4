"""Engines that are loaded once and serve every stream of the process."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.engines.registry import load_engine


class EnginePool:
    """Each engine once per device, however many streams use it. Safe from any thread.

    What was loaded stays, so that going back to an engine is instant, until `close`.
    """

    def __init__(self, load: Callable[[str, str], Engine] = load_engine) -> None:
        """Args: `load` makes an engine of a name and a torch device."""
        self._load = load
        self._lock = threading.Lock()
        self._slots: dict[tuple[str, str], _Slot] = {}
        self._discarded: list[Engine] = []
        self._closed = False

    def get(self, name: str, device: str = "cpu") -> Engine:
        """The engine called `name` on a torch device; open streams of it, but do not close it.

        The first call loads it, and calls for the same one meanwhile wait; other engines are not
        held up. A failure is not kept: the next call tries again.

        Raises:
            KeyError: there is no such engine.
            OSError, RuntimeError, ImportError: it does not load.
            RuntimeError: the pool is closed.
        """
        with self._lock:
            self._check_open()
            slot = self._slots.setdefault((name, device), _Slot())
        with slot.lock:
            if slot.engine is None:
                engine = self._load(name, device)
                with self._lock:
                    if self._closed:
                        engine.close()
                    self._check_open()
                    slot.engine = engine
            return slot.engine

    def discard(self, engine: Engine) -> None:
        """Gives it to nobody any more: one that failed is loaded anew for the next who asks.

        Other streams may still run on it, so it is freed by `close`.
        """
        with self._lock:
            for key, slot in list(self._slots.items()):
                if slot.engine is engine:
                    del self._slots[key]
                    self._discarded.append(engine)

    def close(self) -> None:
        """Frees all engines, whose streams must be closed by then. May be called twice."""
        with self._lock:
            self._closed = True
            engines = [slot.engine for slot in self._slots.values() if slot.engine]
            engines += self._discarded
            self._slots.clear()
            self._discarded.clear()
        for engine in engines:
            engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the pool of engines is closed")


class _Slot:
    """A place for one engine; its lock is held while the engine loads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engine: Engine | None = None
