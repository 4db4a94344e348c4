"""Chooses how much work a frame is worth: a busy machine gets a coarser light, not a late one."""

from collections.abc import Callable
from dataclasses import dataclass

from vcam_relight.pipeline.effort import EFFORTS, Effort

Strain = Callable[[], str]
"""Why the machine asks for less work ("on battery"); empty where it does not."""


@dataclass(frozen=True, slots=True)
class GovernorParams:
    """When effort changes; seconds."""

    window_s: float = 1.0
    """Over which the load is looked at."""
    busy: float = 0.92
    """Share of a window in which frames were worked on, from which there is too much to do..."""
    dropped: float = 0.04
    """...or share of its frames that came while another was worked on."""
    relaxed: float = 0.7
    """Share of a window up to which there is room for more."""
    settle_s: float = 2.0
    """After each change, and when an engine begins."""
    calm_s: float = 8.0
    """Without a busy window, before more is tried..."""
    most_calm_s: float = 240.0
    """...twice as long each time that it was too much, up to this."""


_PARAMS = GovernorParams()


class Governor:
    """One stream's effort. Use it from one thread, and read `effort` and `reason` from any."""

    def __init__(self, strain: Strain = lambda: "", params: GovernorParams = _PARAMS) -> None:
        """Begins with all of the effort.

        Args:
            strain: asked once a window; while it answers, effort stays below the highest.
            params: when it changes.
        """
        self._strain, self._params = strain, params
        self._level = 0
        self._calm_s = params.calm_s
        self._calm_since = self._raised_at = -params.most_calm_s
        self._quiet_until = 0.0
        self._window: _Window | None = None
        self.reason = ""
        """Why effort is below the highest; empty where it is not."""

    @property
    def effort(self) -> Effort:
        """What the next frame is worth."""
        return EFFORTS[self._level]

    @property
    def level(self) -> int:
        """Steps below the highest."""
        return self._level

    def rest(self) -> None:
        """Nothing was relit for a while, or an engine is still loading: what was seen is void."""
        self._window = None

    def frame(self, begin: float, end: float, dropped: int) -> None:
        """Takes note of a frame.

        Args:
            begin: seconds of a clock, when work on it began.
            end: and ended.
            dropped: frames that have been dropped before it, in all.
        """
        if self._window is None:
            self._window = _Window(begin, dropped)
            self._quiet_until = begin + self._params.settle_s
        self._window.busy += end - begin
        self._window.frames += 1
        if end - self._window.begin >= self._params.window_s:
            self._judge(self._window, end, dropped)
            self._window = _Window(end, dropped)

    def _judge(self, window: "_Window", now: float, dropped: int) -> None:
        params = self._params
        lost = dropped - window.dropped
        load = window.busy / (now - window.begin)
        too_much = load > params.busy or lost > params.dropped * (window.frames + lost)
        strain = self._strain()
        if too_much or load > params.relaxed:
            self._calm_since = now
        if now < self._quiet_until:
            return
        if too_much and self._level < len(EFFORTS) - 1:
            if now - self._raised_at < self._calm_s:  # it was too soon
                self._calm_s = min(2 * self._calm_s, params.most_calm_s)
            self._change(self._level + 1, "the machine is busy", now)
        elif strain and self._level == 0:
            self._change(1, strain, now)
        elif self._level > bool(strain) and now - self._calm_since >= self._calm_s:
            self._raised_at = now
            self._change(self._level - 1, strain or self.reason, now)
        if self._level == 0:
            self.reason = ""
        elif self._level == 1 and strain:
            self.reason = strain

    def _change(self, level: int, reason: str, now: float) -> None:
        self._level, self.reason = level, reason
        self._calm_since, self._quiet_until = now, now + self._params.settle_s


@dataclass(slots=True)
class _Window:
    begin: float
    dropped: int
    """Before it began."""
    busy: float = 0.0
    """Seconds of work."""
    frames: int = 0
