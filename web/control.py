"""The control messages that the panel (WebSocket) and the peer page (data channel) share.

Server to client: `hello`, `state`, `ack`, `error`. Client to server: `set`. All are JSON objects
in text messages of at most `MAX_MESSAGE` bytes.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from vcam_relight.pipeline.controls import CONTROLS
from vcam_relight.pipeline.engines.registry import ENGINES
from vcam_relight.vcam.core.errors import InputError, VcamError
from vcam_relight.vcam.core.stats import LatencyDistribution
from vcam_relight.vcam.stream.loop import FrameLoop

MAX_MESSAGE = 4096
"""Bytes of a message from a client; the longest honest one has about 300."""

STATE_EVERY_S = 0.5
POLL_S = 0.05
"""How soon a change made elsewhere (another panel, the engine) is noticed."""
LAG_EVERY_S = 0.25

Handler = Callable[[Mapping[str, Any]], None]
"""Takes a message that needs no answer."""


def parse_message(text: str) -> dict[str, Any]:
    """One message of a client.

    Raises:
        InputError: not a JSON object, or too long.
    """
    if len(text.encode(errors="replace")) > MAX_MESSAGE:
        raise InputError(f"a message has at most {MAX_MESSAGE} bytes")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("the message is not JSON") from error
    if not isinstance(message, dict):
        raise InputError("a message is a JSON object")
    return message


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


class Control:
    """Speaks the control messages for one frame loop."""

    def __init__(self, loop: FrameLoop, lag: LagMeter) -> None:
        self.loop = loop
        self._lag = lag

    def hello(self) -> dict[str, Any]:
        """What can be chosen: presets with their slider values, ranges, engines."""
        presets = [
            preset.to_json() | {"controls": asdict(preset.controls)}
            for preset in self.loop.settings.presets.values()
        ]
        return {
            "type": "hello",
            "presets": presets,
            "controls": {name: asdict(control) for name, control in CONTROLS.items()},
            "engines": list(ENGINES),
        }

    def state(self) -> dict[str, Any]:
        """What is so now: the loop's state and reason, where its picture comes from and which
        sinks but our pages take it, settings, statistics.
        """
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
            "stats": status.stats | {"event_loop_lag_ms": self._lag.lag.summary()},
        }

    def change(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a `set` message, or any other that nobody knows, with `ack` or `error`."""
        ident = message.get("id")
        if not isinstance(ident, int):
            ident = None
        changes = message.get("changes")
        try:
            if message.get("type") != "set":
                raise InputError("there is no message of that type")
            if not isinstance(changes, dict):
                raise InputError("changes must be a JSON object")
            self._check_obeyed(changes)
            snapshot = self.loop.settings.change(changes)
        except VcamError as error:
            return {"type": "error", "id": ident, "error": str(error)}
        return {
            "type": "ack",
            "id": ident,
            "settings_id": snapshot.id,
            "settings": snapshot.settings.to_json(),
        }

    def answer(
        self, text: str, handlers: Mapping[str, Handler] = MappingProxyType({})
    ) -> dict[str, Any] | None:
        """Answers the text of one message, unless one of `handlers` (by type) takes it."""
        try:
            message = parse_message(text)
        except InputError as error:
            return {"type": "error", "id": None, "error": str(error)}
        kind = message.get("type")
        if isinstance(kind, str) and kind in handlers:
            handlers[kind](message)
            return None
        return self.change(message)

    def _check_obeyed(self, changes: Mapping[str, Any]) -> None:
        engine = changes.get("engine", self.loop.settings.current.settings.engine)
        info = ENGINES.get(engine) if isinstance(engine, str) else None
        for name in sorted(info.unsupported_controls & set(changes)) if info else ():
            default = CONTROLS[name].default
            if changes[name] != default:
                raise InputError(f"the engine {engine!r} has no {name}", f"leave it at {default:g}")

    async def report(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
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
