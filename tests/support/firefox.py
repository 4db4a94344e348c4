"""Debian's Firefox ESR, driven through Marionette, its own remote protocol, with a fake camera.

Playwright drives builds of its own only, and geckodriver is in no package registry.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.web_parts import PATIENCE_S

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.autoplay.default": 0,
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
}


def require_firefox() -> None:
    """Skips the test where there is no Firefox; fails it where VCAM_REQUIRE_BROWSER=1."""
    if FIREFOX is not None:
        return
    reason = "Firefox is not installed (apt-get install firefox-esr)"
    if os.environ.get("VCAM_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class FirefoxPage:
    """The one page of a running Firefox."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._last = 0

    async def call(self, command: str, **parameters: Any) -> Any:
        """One Marionette command; returns its result, raises RuntimeError with its error."""
        self._last += 1
        message = json.dumps([0, self._last, command, parameters]).encode()
        self._writer.write(b"%d:%s" % (len(message), message))
        _, _, error, result = await self.read()
        if error:
            raise RuntimeError(error["message"])
        return result

    async def read(self) -> Any:
        """One message of the browser: its length, a colon, JSON."""
        async with asyncio.timeout(3 * PATIENCE_S):
            length = int((await self._reader.readuntil(b":"))[:-1])
            return json.loads(await self._reader.readexactly(length))

    async def goto(self, url: str) -> None:
        """Loads a page."""
        await self.call("WebDriver:Navigate", url=url)

    async def evaluate(self, body: str) -> Any:
        """What the body of an async function returns in the page."""
        script = (
            f"const done = arguments[0]; (async () => {{{body}}})().then(done, e => done('' + e));"
        )
        limit = int(2e3 * PATIENCE_S)
        result = await self.call(
            "WebDriver:ExecuteAsyncScript", script=script, args=[], scriptTimeout=limit
        )
        return result["value"]

    async def see(self, expression: str) -> Any:
        """Waits until a JavaScript expression is truthy in the page and returns it."""
        value = await self.evaluate(
            f"""const $ = (id) => document.getElementById(id);
            const end = performance.now() + {PATIENCE_S * 1e3};
            while (performance.now() < end) {{
                const value = {expression};
                if (value) return value;
                await new Promise((again) => setTimeout(again, 50));
            }}
            return null;"""
        )
        assert value is not None, f"never true in the page: {expression}"
        return value


@contextlib.asynccontextmanager
async def firefox(folder: Path) -> AsyncIterator[FirefoxPage]:
    """A Firefox with an empty profile."""
    require_firefox()
    assert FIREFOX is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    profile = folder / "firefox"
    profile.mkdir()
    preferences = PREFERENCES | {"marionette.port": port}
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in preferences.items()]
    (profile / "user.js").write_text("".join(lines))
    process = await asyncio.create_subprocess_exec(
        FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", str(profile),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"HOME": str(profile)},
    )  # fmt: skip
    try:
        page = FirefoxPage(*await _connected(port))
        await page.read()  # the greeting
        await page.call("WebDriver:NewSession", capabilities={})
        yield page
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(3 * PATIENCE_S):
        while True:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(0.1)
