"""Counters of a running loop: rates, drops, milliseconds per stage, latency."""

import threading
import time
from collections import deque
from typing import Any

import numpy as np

WINDOW = 120
"""Frames that a median or percentile looks back on: 4 s at 30 fps."""


class Rate:
    """Events per second over the last two seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=WINDOW)
        self.total = 0

    def tick(self) -> None:
        """Counts one event now."""
        self._times.append(time.perf_counter())
        self.total += 1

    def per_second(self) -> float:
        """0 when nothing happened for two seconds."""
        now = time.perf_counter()
        recent = [t for t in list(self._times) if now - t < 2.0]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / max(now - recent[0], 1e-6)


class LatencyDistribution:
    """The last `WINDOW` values of something in milliseconds."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=WINDOW)

    def add(self, value: float) -> None:
        """Adds one value."""
        self._values.append(value)

    def summary(self) -> dict[str, float]:
        """`p50` and `p99` in milliseconds; empty before the first value."""
        values = list(self._values)
        if not values:
            return {}
        p50, p99 = np.percentile(values, (50, 99))
        return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


class LoopStats:
    """What a frame loop counts; written from its threads, read from any."""

    def __init__(self) -> None:
        self.received = Rate()
        self.processed = Rate()
        self.latency = LatencyDistribution()
        """Capture to the moment a frame is handed to the sinks."""
        self._stages: dict[str, LatencyDistribution] = {}
        self._lock = threading.Lock()

    def add_stages(self, ms: dict[str, float]) -> None:
        """Adds one frame's milliseconds per stage."""
        with self._lock:
            for name, value in ms.items():
                self._stages.setdefault(name, LatencyDistribution()).add(value)

    def to_json(self) -> dict[str, Any]:
        """Rates in frames per second, times in milliseconds."""
        with self._lock:
            stages = {name: distribution.summary() for name, distribution in self._stages.items()}
        return {
            "fps_in": round(self.received.per_second(), 1),
            "fps_out": round(self.processed.per_second(), 1),
            "frames_in": self.received.total,
            "frames_out": self.processed.total,
            "latency_ms": self.latency.summary(),
            "stages_ms": stages,
        }
