"""The socket for commands of this user (`vcam set`, `get`, `next`, `watch`): HTTP, without a token.

Who may open it is up to the file: it lies in a folder that only its user may enter.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
from pathlib import Path

from aiohttp import web

from vcam_relight.vcam.core.control_path import private_folder
from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.web.control import RemoteControl
from vcam_relight.web.http import read_json
from vcam_relight.web.messages import MAX_MESSAGE, PresetsMessage, StateMessage

log = logging.getLogger(__name__)

MOST_WATCHERS = 16


class CommandSocket:
    """Listens for as long as the program runs."""

    def __init__(self, control: RemoteControl) -> None:
        self._control = control
        self._runner: web.AppRunner | None = None
        self._path: Path | None = None
        self._watchers = 0

    async def start(self, path: Path) -> None:
        """Listens at a path; where another program does so already, that one keeps it.

        Raises:
            VcamError: the folder is not this user's alone, or the socket cannot be made.
        """
        listening = _listening(path)
        if listening is None:
            log.info("another vcam listens to commands at %s, and goes on doing so", path)
            return
        app = web.Application(client_max_size=MAX_MESSAGE)
        app.router.add_get("/state", self._state)
        app.router.add_post("/settings", self._change)
        app.router.add_post("/next", self._next)
        app.router.add_get("/watch", self._watch)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        self._path = path
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        """Closes it; a second call does nothing."""
        if self._runner is None or self._path is None:
            return
        runner, self._runner = self._runner, None
        _remove(self._path)
        await runner.cleanup()

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(self._control.state())

    async def _change(self, request: web.Request) -> web.Response:
        try:
            changes = await read_json(request, MAX_MESSAGE)
        except web.HTTPException as error:
            return web.json_response({"type": "error", "error": error.text}, status=error.status)
        answer = self._control.change({"type": "set", "id": None, "changes": changes})
        return web.json_response(answer, status=200 if answer["type"] == "ack" else 400)

    async def _next(self, request: web.Request) -> web.Response:
        return web.json_response(self._control.next_preset())

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if self._watchers >= MOST_WATCHERS:
            return web.json_response({"type": "error", "error": "too many watch"}, status=503)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)

        async def send(message: StateMessage | PresetsMessage) -> None:
            if message["type"] == "state":
                await response.write(json.dumps(message).encode() + b"\n")

        self._watchers += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await self._control.report(send)
        finally:
            self._watchers -= 1
        return response


def _listening(path: Path) -> socket.socket | None:
    """A socket that listens at a path; None where another program's does.

    Raises:
        VcamError: the folder is not this user's alone, or the socket cannot be made.
    """
    private_folder(path.parent)
    if _answers(path):
        return None
    made = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)  # of a program that was killed
        made.bind(os.fspath(path))
        path.chmod(0o600)
        made.listen()
    except OSError as error:
        made.close()
        raise VcamError(f"no socket can be made at {path} ({error.strerror})") from error
    return made


def _answers(path: Path) -> bool:
    """Whether a program listens there."""
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(0.5)
        try:
            trial.connect(os.fspath(path))
        except OSError:
            return False
        return True


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
