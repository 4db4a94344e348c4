"""The web server: pages, the panel's WebSocket, and offers of peers.

It holds sockets and control only; pixels stay on the frame loop's threads.
"""

import asyncio
import errno
import ipaddress
import json
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import WSCloseCode, web
from aiortc.rtcicetransport import parse_stun_turn_uri

from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.vcam.core.hosts import is_loopback
from vcam_relight.vcam.stream.session import Session, SessionManager
from vcam_relight.web.control import LagMeter, RemoteControl
from vcam_relight.web.listener import BODY_S, Listener
from vcam_relight.web.messages import MAX_MESSAGE, AnswerMessage, ServerState
from vcam_relight.web.panel.preview import PreviewSink
from vcam_relight.web.panel.socket import PanelSocket
from vcam_relight.web.security import Guard, allowed_hosts, new_token
from vcam_relight.web.webrtc import aiortc_patches
from vcam_relight.web.webrtc.aiortc_patches import own_addresses
from vcam_relight.web.webrtc.peer import PeerHub, PeerPort, PeerRefused
from vcam_relight.web.webrtc.sdp import with_reachable_candidates

log = logging.getLogger(__name__)

MAX_SDP = 64 * 1024
"""Bytes of an offer; Chrome's have about 6 KiB."""
MAX_BODY = MAX_SDP + 16 * 1024
"""Bytes of a request: an offer with its line ends escaped as JSON."""

STATIC = Path(__file__).parent / "static"
PAGES = {"/": "index.html", "/peer": "peer.html"}
FILES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""What in `static/` is served besides the pages, by suffix."""


@dataclass(frozen=True)
class WebConfig:
    """Where the server listens and whom it accepts."""

    host: str = "127.0.0.1"
    port: int = 8088
    """0 takes any free port."""
    tls_cert: Path | None = None
    """PEM file; needed with `tls_key` for any host that is not loopback."""
    tls_key: Path | None = None
    ice_servers: tuple[str, ...] = ()
    """`stun:` URLs; none are asked unless named."""


class WebServer:
    """Serves the panel of one session, and the peer page, whose browsers get their own."""

    def __init__(
        self,
        config: WebConfig,
        sessions: SessionManager,
        main: Session,
        preview: PreviewSink,
        peer_port: PeerPort | None = None,
    ) -> None:
        """Does not listen yet.

        Args:
            config: where to listen, and whom to accept.
            sessions: gives each browser that sends its camera a session.
            main: the program's own session, which the panel shows and controls.
            preview: one of its sinks.
            peer_port: its source and one of its sinks when a browser is its camera.
        """
        self.config = config
        self.token = new_token()
        self._preview = preview
        self._lag = LagMeter()
        self._control = RemoteControl(main.loop, self._lag)
        self._hub = PeerHub(sessions, main, peer_port, self._lag, config.ice_servers)
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
        host = self.config.host
        try:
            address = ipaddress.ip_address(host)
            if address.is_unspecified:
                host = socket.gethostname()
            elif address.version == 6:
                host = f"[{host}]"
        except ValueError:
            pass
        return f"{'https' if self.config.tls_cert else 'http'}://{host}:{self.port}"

    async def start(self) -> None:
        """Listens.

        Raises:
            VcamError: the address is in use or not ours, TLS is missing or unusable, or an ICE
                server's URL is none of a STUN server.
        """
        for url in self.config.ice_servers:
            _check_ice_server(url)
        loopback = is_loopback(self.config.host)
        context = self._tls(loopback)
        aiortc_patches.apply(loopback)
        listener = Listener(self._application())
        try:
            self.port = await listener.start(self.config.host, self.config.port, context)
        except (OSError, OverflowError) as error:
            where = f"{self.config.host}:{self.config.port}"
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                raise VcamError(
                    f"port {self.config.port} of {self.config.host} is in use",
                    "choose another with --port, or --port 0",
                ) from error
            raise VcamError(
                f"cannot listen on {where} ({error})", "choose another --host or --port"
            ) from error
        self._listener = listener
        self._lag_task = asyncio.ensure_future(self._lag.run())

    async def stop(self) -> None:
        """Closes all connections and the port; a second call does nothing."""
        if self._lag_task is not None:
            self._lag_task.cancel()
        await self._hub.close()
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None

    def _tls(self, loopback: bool) -> ssl.SSLContext | None:
        cert, key = self.config.tls_cert, self.config.tls_key
        if cert is None or key is None:
            if not loopback:
                raise VcamError(
                    f"{self.config.host} can be reached from other machines, which needs TLS",
                    "give a certificate and its key, or use --host 127.0.0.1",
                )
            if cert is not None or key is not None:
                raise VcamError("TLS needs a certificate and its key", "give both files")
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise VcamError(
                f"the TLS files {cert} and {key} cannot be used ({error})",
                "give a PEM certificate and its unencrypted key",
            ) from error
        return context

    def _application(self) -> web.Application:
        files = {f"/{path.name}": path for path in STATIC.iterdir() if path.suffix in FILES} | {
            route: STATIC / name for route, name in PAGES.items()
        }
        open_paths = frozenset(files) | {"/healthz"}
        hosts = allowed_hosts(self.config.host)
        guard = Guard(self.token, hosts, open_paths, frozenset(PAGES))
        app = web.Application(middlewares=[guard.middleware], client_max_size=MAX_BODY)
        for route, path in files.items():
            app.router.add_get(route, _page(path))
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/api/state", self._state)
        app.router.add_post("/api/settings", self._change)
        app.router.add_post("/api/offer", self._offer)
        app.router.add_get("/ws", self._websocket)
        app.on_shutdown.append(self._close_sockets)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        state = self._control.loop.status().state  # without the reason: anyone may ask
        return web.json_response({"state": state}, status=503 if state == "stopped" else 200)

    async def _state(self, request: web.Request) -> web.Response:
        state = ServerState(
            **self._control.state(),
            peers=self._hub.peers,
            ice_servers=list(self.config.ice_servers),
        )
        return web.json_response(state)

    async def _change(self, request: web.Request) -> web.Response:
        answer = self._control.change(
            {"type": "set", "id": None, "changes": await _json(request, MAX_MESSAGE)}
        )
        return web.json_response(answer, status=200 if answer["type"] == "ack" else 400)

    async def _offer(self, request: web.Request) -> web.Response:
        offer = await _json(request, MAX_BODY)
        sdp, replaces, settings = (offer.get(key) for key in ("sdp", "replaces", "settings"))
        if not isinstance(sdp, str):
            raise web.HTTPBadRequest(text="an offer has its SDP in `sdp`")
        if not isinstance(replaces, str | None) or not isinstance(settings, dict | None):
            raise web.HTTPBadRequest(text="`replaces` is an id, `settings` are an object")
        if len(sdp) > MAX_SDP:
            raise web.HTTPRequestEntityTooLarge(MAX_SDP, len(sdp))
        try:
            sdp = self._with_reachable_candidates(sdp, request.remote)
            answer, connection = await self._hub.offer(sdp, replaces, settings)
            return web.json_response(
                AnswerMessage(type="answer", sdp=answer, connection=connection)
            )
        except PeerRefused as error:
            return web.json_response({"error": str(error)}, status=error.status)

    def _with_reachable_candidates(self, sdp: str, remote: str | None) -> str:
        own = own_addresses()
        only_here = is_loopback(self.config.host)
        return with_reachable_candidates(sdp, own, from_here=remote in own, only_here=only_here)

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse(
            protocols=("vcam",), heartbeat=10.0, max_msg_size=MAX_MESSAGE, compress=False
        )
        await response.prepare(request)
        self._sockets.add(response)
        try:
            await PanelSocket(response, self._control, self._preview).run()
        finally:
            self._sockets.discard(response)
        return response

    async def _close_sockets(self, app: web.Application) -> None:
        for response in list(self._sockets):
            await response.close(code=WSCloseCode.GOING_AWAY)


def _check_ice_server(url: str) -> None:
    hint = "write it like stun:stun.example.org:3478"
    try:
        scheme = parse_stun_turn_uri(url)["scheme"]
    except ValueError as error:
        raise VcamError(f"{url} is no STUN server", hint) from error
    if scheme != "stun":  # TURN needs a user's name and password, and aiortc skips stuns:
        raise VcamError(f"{url} cannot be used: only plain STUN servers are", hint)


async def _json(request: web.Request, limit: int) -> dict[str, object]:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise web.HTTPBadRequest(text="bodies are taken as they are, without Content-Encoding")
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the body did not come") from error
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest(text="the body is not chunked as its headers say") from error
    if len(body) > limit:
        raise web.HTTPRequestEntityTooLarge(limit, len(body))
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise web.HTTPBadRequest(text="the body is not JSON") from error
    if not isinstance(data, dict):
        raise web.HTTPBadRequest(text="the body is a JSON object")
    return data


def _page(path: Path) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    body = path.read_bytes()
    kind = FILES.get(path.suffix, "text/html")

    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return page
