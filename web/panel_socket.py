"""One panel's WebSocket: frames and state to it, settings and acknowledgements from it."""

import asyncio
import contextlib
from typing import Any

from aiohttp import WSMsgType, web

from vcam.errors import InputError
from web.control import Control, parse_message
from web.preview import PreviewSink, Viewer


class PanelSocket:
    """Runs from the handshake to the end of the connection."""

    def __init__(
        self, response: web.WebSocketResponse, control: Control, preview: PreviewSink
    ) -> None:
        self._response = response
        self._control = control
        self._preview = preview
        self._viewer = Viewer(self._deliver)
        self._frame: bytes | None = None
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        """Serves until the page or the server closes."""
        self._preview.attach(self._viewer)
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._send(self._control.hello())
            tasks = [
                asyncio.ensure_future(self._send_frames()),
                asyncio.ensure_future(self._control.report(self._send)),
            ]
            async for message in self._response:
                if message.type is WSMsgType.TEXT and (answer := self._answer(message.data)):
                    await self._send(answer)
        except ConnectionError:
            pass
        finally:
            self._preview.detach(self._viewer)
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await task

    def _deliver(self, message: bytes) -> None:
        self._frame = message
        self._arrived.set()

    async def _send_frames(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            frame, self._frame = self._frame, None
            if frame is not None:
                await self._response.send_bytes(frame)

    async def _send(self, message: dict[str, Any]) -> None:
        await self._response.send_json(message)

    def _answer(self, text: str) -> dict[str, Any] | None:
        try:
            message = parse_message(text)
        except InputError as error:
            return {"type": "error", "id": None, "error": str(error)}
        if message.get("type") == "shown":
            self._viewer.ready = True
            return None
        if message.get("type") == "view":
            self._viewer.view(message.get("visible") is True, message.get("original") is True)
            return None
        return self._control.change(message)
