"""Whether the machine asks for less work: it runs on battery, or is too hot."""

import time
from pathlib import Path

_SYS = Path("/sys")


class MachineStrain:
    """What Linux says below /sys, asked every five seconds; elsewhere nothing is known."""

    def __init__(self, sys: Path = _SYS, every_s: float = 5.0) -> None:
        """Args: `sys`: where Linux shows its devices; `every_s`: seconds between two looks."""
        self._sys = sys
        self._every_s = every_s
        self._asked_at = float("-inf")
        self._reason = ""
        self._throttled: int | None = None

    def __call__(self) -> str:
        """Why less work is asked for; empty where it is not."""
        now = time.monotonic()
        if now - self._asked_at >= self._every_s:
            self._asked_at = now
            self._reason = self._hot() or self._on_battery()
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

    def _hot(self) -> str:
        """Whether the processor has been slowed down for heat since the last time."""
        counts = self._sys.glob("devices/system/cpu/cpu*/thermal_throttle/package_throttle_count")
        total = sum(int(text) for path in counts if (text := _text(path)).isdigit())
        before, self._throttled = self._throttled, total
        return "the processor is hot" if before is not None and total > before else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
