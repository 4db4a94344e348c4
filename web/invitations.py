"""Invitations: who may join, told by a link that the server itself made, without keeping a list.

A token is `v1.PAYLOAD.MAC`: what it grants, and an HMAC (RFC 2104) of it by a secret that only the
server has. Whoever has the link may join until it expires; it survives a restart of the server.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from vcam_relight.vcam.core.errors import InputError

_VERSION = "v1"
_LONGEST = 512
"""Characters of a token; ours have 120."""
_LEAST_SECRET = 32
"""Bytes."""


class InvitationError(Exception):
    """A token is no invitation of ours, or no longer."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a token grants."""

    id: str
    expires: float
    """Seconds since 1970."""
    people: int
    """Who may be in by it at once."""


class Invitations:
    """Makes and reads tokens."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, lifetime_s: float, people: int = 1, now: float | None = None) -> str:
        """A token that is new.

        Args:
            lifetime_s: how long it is good for.
            people: how many may be in by it at once.
            now: seconds since 1970; by default it is asked of the clock.
        """
        expires = (time.time() if now is None else now) + lifetime_s
        payload = {"id": secrets.token_urlsafe(9), "expires": round(expires), "people": people}
        signed = f"{_VERSION}.{_encoded(json.dumps(payload, separators=(',', ':')).encode())}"
        return f"{signed}.{self._mac(signed)}"

    def read(self, token: str, now: float | None = None) -> Invitation:
        """What a token grants.

        Raises:
            InvitationError: it is not ours, or has expired; the message is for whoever has it.
        """
        if len(token) > _LONGEST or not token.isascii():
            raise InvitationError("the link is no invitation")
        signed, _, mac = token.rpartition(".")
        if not hmac.compare_digest(self._mac(signed), mac):
            raise InvitationError("the link is no invitation of this server")
        version, _, payload = signed.partition(".")
        try:
            known = json.loads(_decoded(payload))
            invitation = Invitation(known["id"], float(known["expires"]), int(known["people"]))
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise InvitationError("the link is no invitation") from error
        if version != _VERSION:
            raise InvitationError("the link is of another version of the server")
        if invitation.expires <= (time.time() if now is None else now):
            raise InvitationError("the invitation has expired: ask for a new link")
        return invitation

    def _mac(self, signed: str) -> str:
        return _encoded(hmac.digest(self._secret, signed.encode(), hashlib.sha256))


def read_secret(path: Path) -> bytes:
    """The secret of a file that only its owner can read; made where there is none.

    Raises:
        InputError: others can read it, it is too short, or it cannot be read or written.
    """
    try:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_LEAST_SECRET).hex().encode() + b"\n")
        mode = path.stat().st_mode
        content = path.read_bytes().strip()
    except OSError as error:
        raise InputError(f"the secret {path} cannot be used ({error.strerror})") from error
    if os.name != "nt" and mode & 0o077:
        raise InputError(f"others can read the secret {path}", f"chmod 600 {path}")
    if len(content) < _LEAST_SECRET:
        raise InputError(
            f"the secret {path} is too short", f"it needs {_LEAST_SECRET} bytes; remove it"
        )
    return content


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
