"""The web server of the panel: pages, its WebSocket, and offers of peers.

It holds sockets and control only; pixels stay on the frame loop's threads.
"""

import asyncio
import hmac
import logging
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import WSCloseCode, web

from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.vcam.core.frame import VideoMode
from vcam_relight.vcam.core.hosts import is_loopback
from vcam_relight.vcam.settings.own_presets import OwnPresets
from vcam_relight.vcam.stream.session import Session, SessionManager
from vcam_relight.web.backdrop import MAX_PICTURE, BackdropControl
from vcam_relight.web.commands import CommandSocket
from vcam_relight.web.control import LagMeter, RemoteControl
from vcam_relight.web.http import (
    STATIC,
    answer_offer,
    join_state,
    listen,
    origin_of,
    page,
    read_json,
    static_files,
    tls_context,
)
from vcam_relight.web.ice import IceServers
from vcam_relight.web.listener import Listener
from vcam_relight.web.messages import MAX_MESSAGE, CameraInfo, ServerState
from vcam_relight.web.metrics import Metrics
from vcam_relight.web.openapi import document
from vcam_relight.web.osc import OscControl
from vcam_relight.web.panel.preview import PreviewSink
from vcam_relight.web.panel.socket import PanelSocket
from vcam_relight.web.panel.thumbnails import ThumbnailSink
from vcam_relight.web.recording import RecordingControl
from vcam_relight.web.security import Guard, allowed_hosts, new_token
from vcam_relight.web.sources import SourceControl
from vcam_relight.web.webrtc import aiortc_patches
from vcam_relight.web.webrtc.peer import PeerHub, PeerPort

log = logging.getLogger(__name__)

PAGES = {"/": "index.html", "/peer": "peer.html", "/screen-light": "screen-light.html"}
MODE = VideoMode((1280, 720), 30.0)
CAMERA = CameraInfo(width=1280, height=720, fps=30)
"""What browsers are asked for."""


@dataclass(frozen=True)
class WebConfig:
    """Where the server listens and whom it accepts."""

    host: str = "127.0.0.1"
    port: int = 8088
    """0 takes any free port."""
    tls_cert: Path | None = None
    """PEM file; needed with `tls_key` for any host that is not loopback."""
    tls_key: Path | None = None
    ice_servers: IceServers = field(default_factory=IceServers)
    """None are asked unless named."""
    commands: Path | None = None
    """The socket for commands of this user; None: there is none."""
    presets: Path | None = None
    """The folder of the user's presets, where looks are saved; None: none can be."""
    osc: int | None = None
    """UDP port at which this machine's programs are heard by OSC; 0 any free one; None: none is."""


class WebServer:
    """Serves the panel of one session, and the peer page, whose browsers get their own."""

    def __init__(
        self,
        config: WebConfig,
        sessions: SessionManager,
        main: Session,
        preview: PreviewSink,
        thumbnails: ThumbnailSink,
        peer_port: PeerPort | None = None,
        mode: VideoMode = MODE,
    ) -> None:
        """Does not listen yet.

        Args:
            config: where to listen, and whom to accept.
            sessions: gives each browser that sends its camera a session.
            main: the program's own session, which the panel shows and controls.
            preview: one of its sinks.
            thumbnails: another one.
            peer_port: its source and one of its sinks when a browser is its camera.
            mode: what was asked of its source.
        """
        self.config = config
        self.token = new_token()
        self._preview = preview
        self._thumbnails = thumbnails
        self._lag = LagMeter()
        own = None if config.presets is None else OwnPresets(main.loop.settings, config.presets)
        self._control = RemoteControl(main.loop, self._lag, own)
        camera = None if peer_port is None else (main, peer_port)
        self._hub = PeerHub(sessions, main.loop.settings, self._lag, config.ice_servers, camera)
        self._metrics = Metrics(sessions, self._hub.counts, self._lag.lag)
        self._commands = CommandSocket(self._control)
        self.osc = OscControl(self._control)
        self._sources = SourceControl(main.loop, mode)
        self._backdrop = BackdropControl(main.loop.settings)
        self._recording = RecordingControl(main.loop, mode.fps)
        self._sockets: set[web.WebSocketResponse] = set()
        self._listener: Listener | None = None
        self._lag_task: asyncio.Task[None] | None = None
        self.port = config.port
        """Where it listens; known once it does when any free one will do."""

    @property
    def url(self) -> str:
        """The panel's address with the token, for the browser of whoever started the program."""
        return f"{self.origin}/#token={self.token}"

    @property
    def peer_url(self) -> str:
        """The same for the page that sends a browser's camera."""
        return f"{self.origin}/peer#token={self.token}"

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return origin_of(self.config.host, self.port, tls=self.config.tls_cert is not None)

    async def start(self) -> None:
        """Listens.

        Raises:
            VcamError: the address is in use or not ours, TLS is missing or unusable, or an ICE
                server's URL is none of a STUN server.
        """
        self.config.ice_servers.check()
        loopback = is_loopback(self.config.host)
        context = tls_context(self.config.host, self.config.tls_cert, self.config.tls_key)
        aiortc_patches.apply(loopback)
        listener = Listener(self._application())
        self.port = await listen(listener, self.config.host, self.config.port, context)
        self._listener = listener
        if self.config.osc is not None:
            try:
                await self.osc.start(self.config.osc)
            except VcamError as error:  # the panel does the same
                log.warning("%s", error)
        if self.config.commands is not None:
            try:
                await self._commands.start(self.config.commands)
            except VcamError as error:  # the panel does the same
                log.warning("`vcam set` and the like are not heard: %s", error)
        self._lag_task = asyncio.ensure_future(self._lag.run())

    async def stop(self) -> None:
        """Closes all connections and the port; a second call does nothing."""
        if self._lag_task is not None:
            self._lag_task.cancel()
        await self._commands.stop()
        self.osc.stop()
        await self._hub.close()
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None

    def _application(self) -> web.Application:
        files = static_files() | {route: STATIC / name for route, name in PAGES.items()}
        open_paths = frozenset(files) | {"/healthz", "/openapi.json"}
        hosts = allowed_hosts(self.config.host)
        guard = Guard(self._admit, hosts, open_paths, frozenset(PAGES))
        app = web.Application(middlewares=[guard.middleware], client_max_size=MAX_PICTURE)
        for route, path in files.items():
            app.router.add_get(route, page(path))
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/openapi.json", self._openapi)
        app.router.add_get("/api/state", self._state)
        app.router.add_post("/api/settings", self._change)
        app.router.add_post("/api/offer", self._offer)
        app.router.add_get("/api/source", self._sources.show)
        app.router.add_post("/api/source", self._sources.choose)
        app.router.add_post("/api/backdrop", self._backdrop.answer)
        app.router.add_post("/api/recording", self._recording.answer)
        app.router.add_get("/metrics", self._metrics.answer)
        app.router.add_get("/ws", self._websocket)
        app.on_shutdown.append(self._close_sockets)
        return app

    def _admit(self, request: web.Request, token: str) -> None:
        if not hmac.compare_digest(token.encode(errors="replace"), self.token.encode()):
            raise web.HTTPUnauthorized(text="the token is missing or of an earlier run")

    async def _health(self, request: web.Request) -> web.Response:
        state = self._control.loop.status().state  # without the reason: anyone may ask
        return web.json_response({"state": state}, status=503 if state == "stopped" else 200)

    async def _openapi(self, request: web.Request) -> web.Response:
        return web.json_response(document())

    async def _state(self, request: web.Request) -> web.Response:
        state = ServerState(
            **self._control.state(),
            peers=self._hub.peers,
            **join_state(self.config.ice_servers, CAMERA, guest=False),
        )
        return web.json_response(state)

    async def _change(self, request: web.Request) -> web.Response:
        answer = self._control.change(
            {"type": "set", "id": None, "changes": await read_json(request, MAX_MESSAGE)}
        )
        return web.json_response(answer, status=200 if answer["type"] == "ack" else 400)

    async def _offer(self, request: web.Request) -> web.Response:
        only_here = is_loopback(self.config.host)
        return await answer_offer(self._hub, request, only_here=only_here)

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse(
            protocols=("vcam",), heartbeat=10.0, max_msg_size=MAX_MESSAGE, compress=False
        )
        await response.prepare(request)
        self._sockets.add(response)
        try:
            await PanelSocket(response, self._control, self._preview, self._thumbnails).run()
        finally:
            self._sockets.discard(response)
        return response

    async def _close_sockets(self, app: web.Application) -> None:
        for response in list(self._sockets):
            await response.close(code=WSCloseCode.GOING_AWAY)
