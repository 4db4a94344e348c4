"""The listening socket: how many connections there may be, and how long each may say nothing.

Nobody has shown a token yet when a connection is accepted. Each costs a file descriptor, and at the
limit of those asyncio's accept loop fails over and over; so the number is capped well below, and
whoever says nothing is closed within seconds.
"""

import asyncio
import ssl
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from vcam_relight.web.security import SERVER

try:
    import resource
except ImportError:  # Windows, where sockets are not counted so
    _DESCRIPTORS = 1024
else:
    _DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

IDLE_S = 5.0
"""For the headers of a request, a TLS handshake, and between two requests of a connection."""
BODY_S = 10.0
"""For the body of a request."""
MAX_CONNECTIONS = max(16, min(128, _DESCRIPTORS // 4))
"""A panel holds one WebSocket and a few connections for its files."""


class Listener:
    """Serves an aiohttp application on one port."""

    def __init__(self, application: web.Application) -> None:
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=2.0,
            keepalive_timeout=IDLE_S,
            lingering_time=IDLE_S,
            auto_decompress=False,  # our pages compress nothing, and bombs stay small
        )
        self._server: asyncio.Server | None = None
        self._handshakes: dict[RequestHandler, float] = {}
        """Accepted, but not yet connected: until when. Nobody tells of those that fail."""

    async def start(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Listens; returns the port.

        Raises:
            OSError, OverflowError: the address cannot be used.
        """
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._protocol,
                host,
                port,
                ssl=context,
                ssl_handshake_timeout=IDLE_S if context else None,
                backlog=MAX_CONNECTIONS,
                reuse_address=True,
            )
        except BaseException:
            await self._runner.cleanup()
            raise
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    async def stop(self) -> None:
        """Closes all connections and the port."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _protocol(self) -> asyncio.Protocol:
        """Called for each connection that is accepted, before any handshake."""
        server = self._runner.server
        if server is None:  # it is being stopped
            return _Refused()
        loop = asyncio.get_running_loop()
        now = loop.time()
        for late in [handler for handler, end in self._handshakes.items() if end <= now]:
            del self._handshakes[late]
        if len(server.connections) + len(self._handshakes) >= MAX_CONNECTIONS:
            return _Refused()
        handler = _BoundedHandler(server, loop=loop, **server._kwargs)
        handler.handshakes = self._handshakes
        self._handshakes[handler] = now + IDLE_S
        return handler


class _BoundedHandler(RequestHandler):
    """aiohttp's own, whose answers to what is no HTTP tell neither versions nor internals."""

    __slots__ = ("handshakes",)

    handshakes: "dict[RequestHandler, float]"
    """The listener's, which it leaves when it is connected."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.handshakes.pop(self, None)
        super().connection_made(transport)

    def handle_error(
        self,
        request: Any,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)  # logs it; raises if too late
        response = web.json_response({"error": "the request cannot be read"}, status=status)
        response.headers["Server"] = SERVER
        response.force_close()
        return response


class _Refused(asyncio.Protocol):
    """Closes at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
