"""Open Sound Control: faders and buttons of other programs set the light.

`/vcam/NAME VALUE` sets what `vcam set NAME=VALUE` does, `/vcam/next` is `vcam next`, and
`/vcam/get NAME` is answered by `/vcam/NAME VALUE`. OSC knows no passwords, so this machine's
programs alone are heard.
"""

import asyncio
import logging
from typing import Any

from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.web.control import RemoteControl

log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_PREFIX = "/vcam/"
_SWITCHES = ("mirror",)


class OscControl:
    """Hears OSC over UDP for as long as the program runs."""

    def __init__(self, control: RemoteControl) -> None:
        self._control = control
        self._transport: asyncio.BaseTransport | None = None
        self._problem = ""
        """What was wrong last: a fader that is wrong is wrong a hundred times a second."""
        self.port = 0
        """Where it listens, once it does."""

    async def start(self, port: int) -> None:
        """Listens at a UDP port of this machine; 0 takes any free one.

        Raises:
            VcamError: python-osc is missing, or the port is in use.
        """
        try:
            from pythonosc.dispatcher import Dispatcher
            from pythonosc.osc_server import AsyncIOOSCUDPServer
        except ImportError as error:
            raise VcamError(
                f"OSC needs python-osc ({error})", "pip install 'vcam-relight[osc]'"
            ) from None
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(self._heard)
        loop = asyncio.get_running_loop()
        server = AsyncIOOSCUDPServer((_HOST, port), dispatcher, loop)  # type: ignore[arg-type]
        try:
            self._transport, _ = await server.create_serve_endpoint()
        except OSError as error:
            raise VcamError(
                f"OSC cannot listen at port {port} ({error.strerror})", "choose another with --osc"
            ) from error
        self.port = self._transport.get_extra_info("sockname")[1]
        log.info("OSC is heard at %s:%d", _HOST, self.port)

    def stop(self) -> None:
        """Hears no more; a second call does nothing."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _heard(self, address: str, *values: Any) -> tuple[Any, ...] | None:
        """One message; returns what is answered to whoever sent it."""
        if not address.startswith(_PREFIX):
            return None
        name, value = address.removeprefix(_PREFIX), values[0] if values else None
        if name == "get":
            return self._told(value)
        if name == "next":
            if not values or value:  # a button sends 1 when it is pressed, and 0 after it
                self._control.next_preset()
            return None
        answer = self._control.change(
            {"type": "set", "id": None, "changes": {name: _meant(name, values)}}
        )
        problem = answer["error"] if answer["type"] == "error" else ""
        if problem and problem != self._problem:
            log.warning("OSC %s: %s", address, problem)
        self._problem = problem
        return None

    def _told(self, name: object) -> tuple[Any, ...] | None:
        value = self._control.loop.settings.current.settings.to_json().get(str(name))
        if isinstance(value, list | tuple):
            return (f"{_PREFIX}{name}", *value)
        return None if value is None else (f"{_PREFIX}{name}", value)


def _meant(name: str, values: tuple[Any, ...]) -> Any:
    """The value of a setting: several numbers are a direction, a switch is on unless it is 0."""
    if name in _SWITCHES:
        return bool(values and values[0])
    return list(values) if len(values) > 1 else values[0] if values else None
