"""Milliseconds per named stage of the frame at hand."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageTimer:
    """Collects the wall time of each stage; one per stream, used from one thread."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    def start_frame(self) -> None:
        """Forget the frame before."""
        self.ms = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to stage `name`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = self.ms.get(name, 0.0) + (time.perf_counter() - begin) * 1e3
