"""Speaks the messages that the panel (WebSocket) and the peer page (data channel) share."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import cast

from vcam_relight.pipeline.controls import CONTROLS
from vcam_relight.pipeline.engines.registry import ENGINES
from vcam_relight.vcam.core.errors import InputError, VcamError
from vcam_relight.vcam.core.stats import LatencyDistribution
from vcam_relight.vcam.settings.own_presets import OwnPresets
from vcam_relight.vcam.settings.store import Snapshot, preset_changes
from vcam_relight.vcam.stream.loop import FrameLoop
from vcam_relight.web.messages import (
    AckMessage,
    EffortInfo,
    ErrorMessage,
    HelloMessage,
    LookMessage,
    PanelMessage,
    PresetInfo,
    PresetsMessage,
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

    def __init__(self, loop: FrameLoop, lag: LagMeter, own: OwnPresets | None = None) -> None:
        """Controls a loop.

        Args:
            loop: what is controlled.
            lag: of the event loop, for `state`.
            own: takes the looks that clients save; None: none can be saved.
        """
        self.loop = loop
        self._lag = lag
        self._own = own

    def hello(self) -> HelloMessage:
        """What can be chosen."""
        return {
            "type": "hello",
            "presets": self.presets(),
            "controls": {name: asdict(control) for name, control in CONTROLS.items()},
            "engines": list(ENGINES),
        }

    def presets(self) -> list[PresetInfo]:
        """All that there are, in order."""
        own = self._own.names if self._own is not None else ()
        return [
            PresetInfo(**preset.to_json(), settings=preset_changes(preset), own=preset.name in own)
            for preset in self.loop.settings.presets.values()
        ]

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
        return _ack(message["id"], snapshot)

    def next_preset(self) -> AckMessage | ErrorMessage:
        """Switches to the preset after the one that is on."""
        store = self.loop.settings
        names = list(store.presets)
        following = (names.index(store.current.settings.preset) + 1) % len(names)
        return self.change({"type": "set", "id": None, "changes": {"preset": names[following]}})

    def change_look(self, message: LookMessage) -> AckMessage | ErrorMessage:
        """Saves, renames, moves or deletes a preset of the user's own.

        It writes a file, so not on the event loop.
        """
        try:
            if self._own is None:
                raise InputError("looks cannot be saved here")
            match message["action"]:
                case "save":
                    self._own.save(message["title"])
                case "rename":
                    self._own.rename(message["name"], message["title"])
                case "move":
                    self._own.move(message["name"], message["by"])
                case "delete":
                    self._own.delete(message["name"])
        except VcamError as error:
            return {"type": "error", "id": message["id"], "error": str(error)}
        return _ack(message["id"], self.loop.settings.current)

    def answer(
        self, text: str, on_panel: Callable[[PanelMessage], None] | None = None
    ) -> AckMessage | ErrorMessage | None:
        """Answers the text of one message.

        Args:
            text: what a client sent.
            on_panel: takes the messages that the panel alone sends, which it answers itself, if at
                all; None where there is no panel.
        """
        try:
            message = parse_message(text)
            if message["type"] == "set":
                return self.change(message)
            if on_panel is None:
                raise InputError("there is no panel here")
        except InputError as error:
            return {"type": "error", "id": None, "error": str(error)}
        on_panel(message)
        return None

    async def report(
        self, send: Callable[[StateMessage | PresetsMessage], Awaitable[None]]
    ) -> None:
        """Sends `state` twice a second and right after each change, until cancelled.

        When there are other presets `presets` goes before it.
        """
        presets = self.loop.settings.presets
        clock = asyncio.get_running_loop().time
        known: tuple[int, str, bool] | None = None
        due = 0.0
        while True:
            now = (
                self.loop.settings.current.id,
                self.loop.problem,
                self.loop.finished.is_set(),
            )
            if self.loop.settings.presets is not presets:
                presets = self.loop.settings.presets
                await send({"type": "presets", "presets": self.presets()})
            if now != known or clock() >= due:
                known, due = now, clock() + STATE_EVERY_S
                await send(self.state())
            await asyncio.sleep(POLL_S)


def _ack(number: int | None, snapshot: Snapshot) -> AckMessage:
    return {
        "type": "ack",
        "id": number,
        "settings_id": snapshot.id,
        "settings": snapshot.settings.to_json(),
    }
