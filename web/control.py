"""Speaks the messages that the panel (WebSocket) and the peer page (data channel) share."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import cast

from vcam_relight.pipeline.controls import CONTROLS
from vcam_relight.pipeline.engines.registry import ENGINES
from vcam_relight.vcam.core.errors import InputError, VcamError
from vcam_relight.vcam.core.stats import LatencyDistribution
from vcam_relight.vcam.settings.store import preset_changes
from vcam_relight.vcam.stream.loop import FrameLoop
from vcam_relight.web.messages import (
    AckMessage,
    EffortInfo,
    ErrorMessage,
    HelloMessage,
    PresetInfo,
    PreviewMessage,
    SetMessage,
    StateMessage,
    StatsInfo,
    parse_message,
)

STATE_EVERY_S = 0.5
POLL_S = 0.05
"""How soon a change made elsewhere (another panel, the engine) is noticed."""
LAG_EVERY_S = 0.25


class LagMeter:
    """How late the event loop runs its timers: high values mean that something blocks it."""

    def __init__(self) -> None:
        self.lag = LatencyDistribution()

    async def run(self) -> None:
        """Measures until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self.lag.add(max(0.0, clock() - due) * 1e3)


class RemoteControl:
    """Controls one frame loop for any number of clients."""

    def __init__(self, loop: FrameLoop, lag: LagMeter) -> None:
        self.loop = loop
        self._lag = lag

    def hello(self) -> HelloMessage:
        """What can be chosen."""
        return {
            "type": "hello",
            "presets": [
                PresetInfo(**preset.to_json(), settings=preset_changes(preset))
                for preset in self.loop.settings.presets.values()
            ],
            "controls": {name: asdict(control) for name, control in CONTROLS.items()},
            "engines": list(ENGINES),
        }

    def state(self) -> StateMessage:
        """What is so now."""
        status = self.loop.status()
        snapshot = self.loop.settings.current
        return {
            "type": "state",
            "state": status.state,
            "reason": status.reason,
            "applied": status.applied,
            "size": status.size,
            "settings_id": snapshot.id,
            "settings": snapshot.settings.to_json(),
            "source": self.loop.source.label,
            "sinks": [
                {"kind": runner.sink.kind, "label": runner.sink.label}
                for runner in self.loop.runners
                if not runner.sink.is_page
            ],
            "unsupported_controls": sorted(ENGINES[snapshot.settings.engine].unsupported_controls),
            "stats": cast(StatsInfo, status.stats | {"event_loop_lag_ms": self._lag.lag.summary()}),
            "effort": cast(EffortInfo, asdict(status.effort)),
            "runs_on": status.runs_on,
        }

    def change(self, message: SetMessage) -> AckMessage | ErrorMessage:
        """Changes the settings, all that was asked for or nothing."""
        try:
            snapshot = self.loop.settings.change(message["changes"])
        except VcamError as error:
            return {"type": "error", "id": message["id"], "error": str(error)}
        return {
            "type": "ack",
            "id": message["id"],
            "settings_id": snapshot.id,
            "settings": snapshot.settings.to_json(),
        }

    def answer(
        self, text: str, on_preview: Callable[[PreviewMessage], None] | None = None
    ) -> AckMessage | ErrorMessage | None:
        """Answers the text of one message.

        Args:
            text: what a client sent.
            on_preview: takes the messages about the preview, which need no answer; None where there
                is no preview.
        """
        try:
            message = parse_message(text)
            if message["type"] == "set":
                return self.change(message)
            if on_preview is None:
                raise InputError("there is no preview here")
        except InputError as error:
            return {"type": "error", "id": None, "error": str(error)}
        on_preview(message)
        return None

    async def report(self, send: Callable[[StateMessage], Awaitable[None]]) -> None:
        """Sends `state` twice a second and right after each change, until cancelled."""
        clock = asyncio.get_running_loop().time
        known: tuple[int, str, bool] | None = None
        due = 0.0
        while True:
            now = (
                self.loop.settings.current.id,
                self.loop.problem,
                self.loop.finished.is_set(),
            )
            if now != known or clock() >= due:
                known, due = now, clock() + STATE_EVERY_S
                await send(self.state())
            await asyncio.sleep(POLL_S)
