"""What the web servers share: pages, bodies, TLS, where they listen, and offers over HTTP."""

import asyncio
import errno
import ipaddress
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.vcam.core.hosts import is_loopback
from vcam_relight.web.ice import IceServers
from vcam_relight.web.listener import BODY_S, Listener
from vcam_relight.web.messages import AnswerMessage, CameraInfo, JoinState
from vcam_relight.web.webrtc.aiortc_patches import own_addresses
from vcam_relight.web.webrtc.peer import Guest, PeerHub, PeerRefused
from vcam_relight.web.webrtc.sdp import with_reachable_candidates

MAX_SDP = 64 * 1024
"""Bytes of an offer; Chrome's have about 6 KiB."""
MAX_BODY = MAX_SDP + 16 * 1024
"""Bytes of a request: an offer with its line ends escaped as JSON."""

STATIC = Path(__file__).parent / "static"
_FILES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""What in `static/` is served besides the pages, by suffix."""


def static_files() -> dict[str, Path]:
    """Route -> file, of all that pages are made of."""
    return {f"/{path.name}": path for path in STATIC.iterdir() if path.suffix in _FILES}


def page(path: Path) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Serves one file of `static/`."""
    body = path.read_bytes()
    kind = _FILES.get(path.suffix, "text/html")

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return answer


def origin_of(host: str, port: int, *, tls: bool) -> str:
    """Scheme, host and port under which a server is reached."""
    try:
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            host = socket.gethostname()
        elif address.version == 6:
            host = f"[{host}]"
    except ValueError:
        pass
    return f"{'https' if tls else 'http'}://{host}:{port}"


def tls_context(host: str, cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """For the files given; None for plain HTTP, which stays on this machine.

    Raises:
        VcamError: TLS is missing for a host that is not loopback, or the files cannot be used.
    """
    if cert is None or key is None:
        if not is_loopback(host):
            raise VcamError(
                f"{host} can be reached from other machines, which needs TLS",
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


async def listen(listener: Listener, host: str, port: int, context: ssl.SSLContext | None) -> int:
    """Opens a port; the one that it got.

    Raises:
        VcamError: the address is in use or not ours.
    """
    try:
        return await listener.start(host, port, context)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise VcamError(
                f"port {port} of {host} is in use", "choose another with --port, or --port 0"
            ) from error
        raise VcamError(
            f"cannot listen on {host}:{port} ({error})", "choose another --host or --port"
        ) from error


def join_state(ice: IceServers, camera: CameraInfo, *, guest: bool) -> JoinState:
    """What a page needs to send its camera."""
    return JoinState(ice_servers=ice.for_browser(), camera=camera, guest=guest)


async def answer_offer(
    hub: PeerHub,
    request: web.Request,
    *,
    only_here: bool,
    proxied: bool = False,
    guest: Guest | None = None,
) -> web.Response:
    """Answers `POST /api/offer`.

    Args:
        hub: takes the offer.
        request: an `OfferMessage`.
        only_here: whether this machine alone may connect.
        proxied: whether requests come from a proxy on this machine, not from browsers on it.
        guest: who asks; None: whoever has the panel's token.
    """
    offer = await read_json(request, MAX_BODY)
    sdp, replaces, settings, ticket = (
        offer.get(key) for key in ("sdp", "replaces", "settings", "ticket")
    )
    if not isinstance(sdp, str):
        raise web.HTTPBadRequest(text="an offer has its SDP in `sdp`")
    if not isinstance(replaces, str | None) or not isinstance(settings, dict | None):
        raise web.HTTPBadRequest(text="`replaces` is an id, `settings` are an object")
    if not isinstance(ticket, str | None):
        raise web.HTTPBadRequest(text="`ticket` is a text")
    if len(sdp) > MAX_SDP:
        raise web.HTTPRequestEntityTooLarge(MAX_SDP, len(sdp))
    own = own_addresses()
    from_here = request.remote in own and not proxied
    try:
        reachable = with_reachable_candidates(sdp, own, from_here, only_here)
        answer, connection = await hub.offer(reachable, replaces, settings, ticket, guest)
        return web.json_response(AnswerMessage(type="answer", sdp=answer, connection=connection))
    except PeerRefused as error:
        if error.status == web.HTTPServiceUnavailable.status_code:
            hub.counts.refused += 1
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
        return web.json_response(
            {"error": str(error)} | dict(error.more), status=error.status, headers=headers
        )


async def read_json(request: web.Request, limit: int) -> dict[str, object]:
    """The object in a request's body, of so many bytes at most; raises what answers it."""
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
