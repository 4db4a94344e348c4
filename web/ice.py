"""ICE servers (RFC 8445): what browsers and this program ask for ways to one another."""

import base64
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiortc import RTCIceServer
from aiortc.rtcicetransport import parse_stun_turn_uri

from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.web.messages import IceServerInfo

_LIFETIME_S = 12 * 3600
"""Of a TURN server's credentials: a working day."""


@dataclass(frozen=True, slots=True)
class IceServers:
    """Those of a run."""

    stun: tuple[str, ...] = ()
    """`stun:` URLs."""
    turn: tuple[str, ...] = ()
    """`turn:` URLs of servers that share `secret`."""
    secret: bytes = b""

    def check(self) -> None:
        """Raises VcamError for a URL that cannot be used."""
        for url in self.stun:
            _check(url, "stun", "stun:stun.example.org:3478")
        for url in self.turn:
            _check(url, "turn", "turn:turn.example.org:3478?transport=udp")
        if self.turn and not self.secret:
            raise VcamError("a TURN server needs a secret", "give --turn-secret-file")

    def for_browser(self, now: float | None = None) -> list[IceServerInfo]:
        """As a page hands them to its connection, with credentials that expire."""
        servers: list[IceServerInfo] = [IceServerInfo(urls=url) for url in self.stun]
        if self.turn:
            user, password = self._credentials(now)
            servers += [
                IceServerInfo(urls=url, username=user, credential=password) for url in self.turn
            ]
        return servers

    def for_server(self) -> Sequence[RTCIceServer]:
        """The same for our own end; aiortc takes one of each kind."""
        return [
            RTCIceServer(one["urls"], one.get("username"), one.get("credential"))
            for one in self.for_browser()
        ]

    def _credentials(self, now: float | None) -> tuple[str, str]:
        """Time-limited, as of draft-uberti-behave-turn-rest-00, which coturn knows."""
        user = f"{round((time.time() if now is None else now) + _LIFETIME_S)}:vcam"
        # coturn's scheme is of SHA-1: as a MAC it is sound.
        digest = hmac.digest(self.secret, user.encode(), "sha1")
        return user, base64.b64encode(digest).decode()


def _check(url: str, scheme: str, example: str) -> None:
    hint = f"write it like {example}"
    try:
        given = parse_stun_turn_uri(url)["scheme"]
    except ValueError as error:
        raise VcamError(f"{url} is no {scheme.upper()} server", hint) from error
    if given != scheme:  # aiortc skips stuns: and turns: by UDP
        raise VcamError(f"{url} cannot be used: only plain {scheme.upper()} servers are", hint)
