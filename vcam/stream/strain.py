"""Whether the machine asks for less work: it runs on battery, or is too hot."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

_SYS = Path("/sys")
_COOLS_S = 60.0
"""After the processor was slowed down it counts as hot for so long, lest effort go to and fro."""


class MachineStrain:
    """What Linux says below /sys, asked every five seconds; elsewhere nothing is known.

    Safe from any thread: all streams share the machine.
    """

    def __init__(
        self, sys: Path = _SYS, every_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Asks nothing yet.

        Args:
            sys: where Linux shows its devices.
            every_s: seconds between two looks.
            clock: in seconds.
        """
        self._sys = sys
        self._every_s = every_s
        self._asked_at = float("-inf")
        self._reason = ""
        self._throttled: int | None = None
        self._hot_until = float("-inf")
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Why less work is asked for; empty where it is not."""
        with self._lock:
            now = self._clock()
            if now - self._asked_at >= self._every_s:
                self._asked_at = now
                self._reason = self._hot(now) or self._on_battery()
            return self._reason

    def _on_battery(self) -> str:
        supplies = list((self._sys / "class/power_supply").glob("*"))
        kinds = {path: _text(path / "type") for path in supplies}
        mains = [_text(path / "online") for path, kind in kinds.items() if kind == "Mains"]
        draining = any(
            kind == "Battery"
            and _text(path / "status") == "Discharging"
            and _text(path / "scope") != "Device"  # a mouse's or a headset's
            for path, kind in kinds.items()
        )
        return "on battery" if draining and "1" not in mains else ""

    def _hot(self, now: float) -> str:
        """Whether the processor has been slowed down for heat a short while ago."""
        counts = self._sys.glob("devices/system/cpu/cpu*/thermal_throttle/package_throttle_count")
        total = sum(int(text) for path in counts if (text := _text(path)).isdigit())
        before, self._throttled = self._throttled, total
        if before is not None and total > before:
            self._hot_until = now + _COOLS_S
        return "the processor is hot" if now < self._hot_until else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
