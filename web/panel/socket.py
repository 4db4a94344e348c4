"""One panel's WebSocket: frames and state to it, settings and acknowledgements from it."""

import asyncio
import contextlib

from aiohttp import WSMsgType, web

from vcam_relight.web.control import RemoteControl
from vcam_relight.web.messages import LookMessage, PanelMessage, ServerMessage
from vcam_relight.web.panel.preview import PreviewSink, Viewer
from vcam_relight.web.panel.thumbnails import ThumbnailSink

MOST_LOOKS = 8
"""Changes of saved looks that wait; nobody clicks so fast."""


class PanelSocket:
    """Runs from the handshake to the end of the connection."""

    def __init__(
        self,
        response: web.WebSocketResponse,
        control: RemoteControl,
        preview: PreviewSink,
        thumbnails: ThumbnailSink,
    ) -> None:
        self._response = response
        self._control = control
        self._preview = preview
        self._thumbnails = thumbnails
        self._viewer = Viewer(self._deliver, self._deliver_thumbnails)
        self._frame: bytes | None = None
        self._sheet: bytes | None = None
        """Thumbnails that wait to be sent; newer ones take their place."""
        self._arrived = asyncio.Event()
        self._looks: asyncio.Queue[LookMessage] = asyncio.Queue(MOST_LOOKS)
        """Looks to be saved or changed; when it is full, what comes is dropped."""

    async def run(self) -> None:
        """Serves until the page or the server closes."""
        self._preview.attach(self._viewer)
        self._thumbnails.attach(self._viewer)
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._send(self._control.hello())
            tasks = [
                asyncio.ensure_future(self._send_frames()),
                asyncio.ensure_future(self._control.report(self._send)),
                asyncio.ensure_future(self._change_looks()),
            ]
            async for message in self._response:
                if message.type is not WSMsgType.TEXT:
                    continue
                if answer := self._control.answer(message.data, self._on_panel):
                    await self._send(answer)
        except ConnectionError:
            pass
        finally:
            self._preview.detach(self._viewer)
            self._thumbnails.detach(self._viewer)
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await task

    def _deliver(self, message: bytes) -> None:
        self._frame = message
        self._arrived.set()

    def _deliver_thumbnails(self, message: bytes) -> None:
        self._sheet = message
        self._arrived.set()

    async def _send_frames(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            frame, self._frame = self._frame, None
            sheet, self._sheet = self._sheet, None
            for message in (frame, sheet):
                if message is not None:
                    await self._response.send_bytes(message)

    async def _send(self, message: ServerMessage) -> None:
        await self._response.send_json(message)

    async def _change_looks(self) -> None:
        while True:
            look = await self._looks.get()
            await self._send(await asyncio.to_thread(self._control.change_look, look))

    def _on_panel(self, message: PanelMessage) -> None:
        match message["type"]:
            case "view":
                self._viewer.view(message["visible"], message["original"], message["thumbnails"])
            case "shown":
                self._viewer.ready = True
            case "look":
                with contextlib.suppress(asyncio.QueueFull):
                    self._looks.put_nowait(message)
