"""What the tests of `vcam serve` share: a running server, and how somebody with a link speaks to
it."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from support.web_parts import PATIENCE_S, dim
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.settings.store import Settings, SettingsStore
from vcam_relight.vcam.stream.session import SessionManager
from vcam_relight.web.guests import GuestConfig, GuestServer
from vcam_relight.web.invitations import Invitations

SECRET = b"a secret of the tests, 32 bytes long"


@dataclass
class House:
    """A running server."""

    server: GuestServer
    sessions: SessionManager
    http: aiohttp.ClientSession

    def link(self, people: int = 5, lifetime_s: float = 600.0) -> str:
        """An invitation."""
        return self.server.invite(lifetime_s, people)

    def visitor(self, link: str | None = None) -> "Visitor":
        """Somebody who has a link."""
        return Visitor(self, (link or self.link()).partition("token=")[2])

    @property
    def owner(self) -> "Visitor":
        """Who runs the server."""
        return Visitor(self, self.server.token)


@dataclass
class Visitor:
    """Somebody with a token."""

    house: House
    token: str
    answer: aiohttp.ClientResponse | None = None
    """The last one."""

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status, and what JSON or text came."""
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, body: object, **headers: str) -> tuple[int, Any]:
        """The same, with a body."""
        return await self._ask("POST", path, body, headers)

    async def _ask(
        self, method: str, path: str, body: object, headers: dict[str, str]
    ) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.house.server.port}{path}"
        sent = {"Authorization": f"Bearer {self.token}"} | headers
        async with self.house.http.request(method, url, json=body, headers=sent) as answer:
            self.answer = answer
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())


@contextlib.asynccontextmanager
async def serving(
    places: int = 2, make_relighter: Callable[[str], Relight] = dim, **config: Any
) -> AsyncIterator[House]:
    """A server on a free port."""
    presets, _ = load_presets()
    settings = SettingsStore(presets, Settings("key-left"))
    sessions = SessionManager(make_relighter, places, load_grace_period=PATIENCE_S)
    made = GuestConfig(**({"port": 0} | config))
    server = GuestServer(made, sessions, settings, Invitations(SECRET))
    await server.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield House(server, sessions, http)
    finally:
        await server.stop()
