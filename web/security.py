"""Who may talk to the server: checked before any handler runs.

A page of another site can make a browser send requests to a local server (CSRF), and with DNS
rebinding its requests even look same-origin. So the Host header must be on an exact list, Origin
and Sec-Fetch-Site must be ours, POST bodies must be JSON (which forces a CORS preflight that
nobody answers), and everything but the pages themselves needs the token of this run. A link may
lead to a page from anywhere: it holds no secret and lets nobody frame it.
"""

import logging
import re
import secrets
import socket
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from vcam_relight.vcam.core.hosts import is_loopback

log = logging.getLogger(__name__)

SERVER = "vcam"
"""What answers name themselves: no versions, no host."""

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
"""`host[:port]` of RFC 9110 (7.2), as far as our names go."""
TOKEN_PROTOCOL = "token."  # noqa: S105  the prefix under which a WebSocket carries the token

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
    "Server": SERVER,
}


def new_token() -> str:
    """A token for one run: 32 bytes of randomness, safe in URLs and as a WebSocket subprotocol."""
    return secrets.token_urlsafe(32)


def allowed_hosts(bind: str) -> frozenset[str]:
    """Host names and addresses under which a server bound to `bind` may be asked for."""
    if is_loopback(bind):
        return LOOPBACK_HOSTS | {bind.lower()}
    hostname = socket.gethostname()
    multicast = f"{hostname.partition('.')[0]}.local"  # mDNS, RFC 6762
    names = {bind, hostname, multicast} - {"0.0.0.0", "::"}  # noqa: S104
    return LOOPBACK_HOSTS | {name.lower() for name in names}


class Guard:
    """The checks; `middleware` goes first into the application."""

    def __init__(
        self,
        admit: Callable[[web.Request, str], None],
        hosts: frozenset[str],
        open_paths: frozenset[str],
        pages: frozenset[str],
        origins: frozenset[str] = frozenset(),
    ) -> None:
        """Checks nothing yet.

        Args:
            admit: told of the token of a request for a path that is not open; raises
                HTTPUnauthorized where that does not do.
            hosts: lower-case host names that the Host header may name.
            open_paths: paths that need no token, because a page must load before it can show one.
            pages: those of them that other sites, and files, may link to.
            origins: as which a proxy before the server is known, such as
                `https://relight.example.org`.
        """
        self._admit = admit
        self._origins = frozenset(origin.lower() for origin in origins)
        self._proxied = frozenset(origin.partition("://")[2] for origin in self._origins)
        self._hosts = hosts
        self._open_paths = open_paths
        self._pages = pages

    @property
    def middleware(self) -> Middleware:
        """Checks a request, answers 4xx or hands it on, and adds the security headers."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                self._check(request)
                response = await handler(request)
            except web.HTTPException as error:
                response = web.json_response({"error": error.text}, status=error.status)
                if "Allow" in error.headers:
                    response.headers["Allow"] = error.headers["Allow"]
            except Exception:
                log.exception("%s %s", request.method, request.path)
                response = web.json_response({"error": "internal error"}, status=500)
            if not response.prepared:
                response.headers.update(HEADERS)
            return response

        return guard

    def _check(self, request: web.Request) -> None:
        host = request.headers.get("Host", "")
        if not self._known_host(request, host):
            raise web.HTTPMisdirectedRequest(
                text="this server does not go by that name and port; "
                "use the address that vcam printed"
            )
        origin = request.headers.get("Origin")
        own = {f"{request.scheme}://{host}".lower(), *self._origins}
        if origin is not None and origin.lower() not in own:
            raise web.HTTPForbidden(text="requests of other sites are refused")
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site not in ("same-origin", "none") and not self._follows_link(request):
            raise web.HTTPForbidden(text="requests of other sites are refused")
        if request.path in self._open_paths:
            return
        self._admit(request, token_of(request))
        if request.method == "POST" and request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="only application/json is accepted")

    def _known_host(self, request: web.Request, host: str) -> bool:
        """The name must be on the list or the very address that the connection came to."""
        if host.lower() in self._proxied:
            return True
        transport = request.transport
        here = transport.get_extra_info("sockname") if transport else None
        if here is None:
            return False
        parts = HOST.fullmatch(host)
        if parts is None:
            return False
        name = parts[1].strip("[]").lower()
        port = int(parts[2] or (443 if request.scheme == "https" else 80))
        return (name in self._hosts or name == here[0]) and bool(port == here[1])

    def _follows_link(self, request: web.Request) -> bool:
        """Whether a browser loads one of the pages into a tab of its own."""
        return (
            request.path in self._pages
            and request.method == "GET"
            and request.headers.get("Sec-Fetch-Mode") == "navigate"
            and request.headers.get("Sec-Fetch-Dest") == "document"
        )


def token_of(request: web.Request) -> str:
    """What a request shows: a bearer token, or a WebSocket's subprotocol."""
    if request.headers.get("Upgrade", "").lower() == "websocket":
        # A browser's WebSocket can send no headers of its own, but it can name subprotocols.
        names = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        tokens = [n.strip().removeprefix(TOKEN_PROTOCOL) for n in names if TOKEN_PROTOCOL in n]
        return tokens[0] if tokens else ""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""
