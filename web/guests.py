"""The web server of `vcam serve`: people join by invitation, each with a session of their own.

It holds sockets and control only; pixels stay on the frame loops' threads.
"""

import asyncio
import hmac
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from vcam_relight.vcam.core.hosts import is_loopback
from vcam_relight.vcam.settings.store import SettingsStore
from vcam_relight.vcam.stream.session import SessionManager
from vcam_relight.web.control import LagMeter
from vcam_relight.web.http import (
    MAX_BODY,
    STATIC,
    answer_offer,
    join_state,
    listen,
    origin_of,
    page,
    static_files,
    tls_context,
)
from vcam_relight.web.ice import IceServers
from vcam_relight.web.invitations import InvitationError, Invitations
from vcam_relight.web.listener import Listener
from vcam_relight.web.messages import CameraInfo, HouseState, SessionInfo
from vcam_relight.web.metrics import Metrics
from vcam_relight.web.security import Guard, allowed_hosts, new_token, token_of
from vcam_relight.web.webrtc import aiortc_patches
from vcam_relight.web.webrtc.peer import Guest, PeerHub

log = logging.getLogger(__name__)

PAGES = {"/join": "peer.html", "/house": "house.html"}
"""For people who join, and for who runs the program."""
_OWN = frozenset({"/api/house", "/metrics"})
"""Paths that no invitation opens."""
GOODBYE = "the server is about to restart; you will be reconnected"


def join_url(origin: str, invitations: Invitations, lifetime_s: float, people: int) -> str:
    """A link for people who join a server, which has the same secret."""
    return f"{origin}/join#token={invitations.issue(lifetime_s, people)}"


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """Where the server listens, and what it tells browsers."""

    host: str = "127.0.0.1"
    port: int = 8088
    """0 takes any free port."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    origin: str | None = None
    """As which a proxy before it is known, such as `https://relight.example.org`."""
    ice_servers: IceServers = field(default_factory=IceServers)
    announced: str | None = None
    """The address that others reach this machine by, where a router translates it one to one."""
    camera: CameraInfo = field(default_factory=lambda: CameraInfo(width=640, height=360, fps=20))
    """What people's browsers are asked to send."""


class GuestServer:
    """Serves people who join by invitation, and who runs the program."""

    def __init__(
        self,
        config: GuestConfig,
        sessions: SessionManager,
        settings: SettingsStore,
        invitations: Invitations,
        token: str | None = None,
    ) -> None:
        """Does not listen yet.

        Args:
            config: where to listen, and what browsers are told.
            sessions: gives each browser a session; its number is that of the places.
            settings: what each begins with.
            invitations: whoever has one may join.
            token: of who runs the program; None: one for this run alone.
        """
        self.config = config
        self.token = token or new_token()
        """Of who runs the program."""
        self.port = config.port
        self._sessions, self._invitations = sessions, invitations
        self._lag = LagMeter()
        self._hub = PeerHub(
            sessions, settings, self._lag, config.ice_servers, announced=config.announced
        )
        counts, lag = self._hub.counts, self._lag.lag
        self._metrics = Metrics(sessions, counts, lag, lambda: self._hub.waiting)
        self._proxied = config.origin is not None
        self._only_here = is_loopback(config.host) and not self._proxied
        self._listener: Listener | None = None
        self._lag_task: asyncio.Task[None] | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port, as people reach it."""
        tls = self.config.tls_cert is not None
        return self.config.origin or origin_of(self.config.host, self.port, tls=tls)

    @property
    def house_url(self) -> str:
        """The page of who runs the program."""
        return f"{self.origin}/house#token={self.token}"

    def invite(self, lifetime_s: float, people: int) -> str:
        """A link for people who join."""
        return join_url(self.origin, self._invitations, lifetime_s, people)

    async def start(self) -> None:
        """Listens.

        Raises:
            VcamError: as of `WebServer.start`.
        """
        config = self.config
        config.ice_servers.check()
        context = tls_context(config.host, config.tls_cert, config.tls_key)
        aiortc_patches.apply(self._only_here)
        listener = Listener(self._application())
        self.port = await listen(listener, config.host, config.port, context)
        self._listener = listener
        self._lag_task = asyncio.ensure_future(self._lag.run())

    async def stop(self) -> None:
        """Tells people, closes all connections and the port; a second call does nothing."""
        if self._lag_task is not None:
            self._lag_task.cancel()
        if self._listener is not None:
            await self._hub.close(GOODBYE)
            await self._listener.stop()
            self._listener = None

    def _application(self) -> web.Application:
        files = static_files() | {route: STATIC / name for route, name in PAGES.items()}
        open_paths = frozenset(files) | {"/healthz"}
        origins = frozenset({self.config.origin} if self.config.origin else ())
        guard = Guard(
            self._admit, allowed_hosts(self.config.host), open_paths, frozenset(PAGES), origins
        )
        app = web.Application(middlewares=[guard.middleware], client_max_size=MAX_BODY)
        for route, path in files.items():
            app.router.add_get(route, page(path))
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._metrics.answer)
        app.router.add_get("/api/state", self._state)
        app.router.add_get("/api/house", self._house)
        app.router.add_post("/api/offer", self._offer)
        return app

    def _admit(self, request: web.Request, token: str) -> None:
        if hmac.compare_digest(token.encode(errors="replace"), self.token.encode()):
            return
        if request.path in _OWN:
            raise web.HTTPUnauthorized(text="the token is missing or of an earlier run")
        try:
            self._invitations.read(token)
        except InvitationError as error:
            raise web.HTTPUnauthorized(text=str(error)) from error

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"state": "running"})

    async def _state(self, request: web.Request) -> web.Response:
        state = join_state(self.config.ice_servers, self.config.camera, guest=True)
        return web.json_response(state)

    async def _offer(self, request: web.Request) -> web.Response:
        guest = None
        if token_of(request) != self.token:
            invitation = self._invitations.read(token_of(request))
            guest = Guest(invitation.id, invitation.people)
        return await answer_offer(
            self._hub, request, only_here=self._only_here, proxied=self._proxied, guest=guest
        )

    async def _house(self, request: web.Request) -> web.Response:
        now = time.monotonic()
        found = []
        for session in self._sessions:
            status = session.loop.status()
            found.append(
                SessionInfo(
                    id=session.id,
                    state=status.state,
                    reason=status.reason,
                    fps=status.stats["fps_out"],
                    age_ms=status.stats["latency_ms"].get("p50", 0.0),
                    minutes=(now - session.begun) / 60,
                    engine=session.loop.settings.current.settings.engine,
                    runs_on=status.runs_on,
                )
            )
        return web.json_response(
            HouseState(
                sessions=found,
                places=self._sessions.max_sessions,
                waiting=self._hub.waiting,
                lag_ms=self._lag.lag.summary().get("p99", 0.0),
            )
        )
