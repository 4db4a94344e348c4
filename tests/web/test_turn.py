"""A call through a TURN server alone, with the credentials that `vcam serve` hands out."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.chromium import chromium, new_frames, opened, require_chromium
from support.guest_parts import serving
from vcam_relight.web.ice import IceServers

SECRET = b"shared with coturn"
RELAYED_ONLY = """() => {
    const Connection = window.RTCPeerConnection;
    window.RTCPeerConnection = function (wish) {
        window.connection = new Connection({ ...wish, iceTransportPolicy: "relay" });
        return window.connection;
    };
}"""
"""JavaScript after which a page offers nothing but what the TURN server gave it."""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.asynccontextmanager
async def coturn(folder: Path) -> AsyncIterator[int]:
    """A TURN server on loopback; its port."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("coturn is not installed (apt-get install coturn)")
    port = _free_port()
    server = await asyncio.create_subprocess_exec(
        program, "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1",
        f"--listening-port={port}", "--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls",
        "--use-auth-secret", f"--static-auth-secret={SECRET.decode()}", "--realm=vcam",
        f"--userdb={folder / 'users'}", "--pidfile=", "--log-file=stdout",
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        yield port
    finally:
        server.terminate()
        await server.wait()


async def test_a_call_goes_through_a_relay_alone(tmp_path: Path) -> None:
    require_chromium()
    async with coturn(tmp_path) as port, chromium(tmp_path) as browser:
        servers = IceServers(turn=(f"turn:127.0.0.1:{port}?transport=udp",), secret=SECRET)
        async with (
            serving(ice_servers=servers) as house,
            opened(browser, house.link(), f"({RELAYED_ONLY})()") as page,
        ):
            await page.get_by_role("button", name="Start camera").click()
            await new_frames(page, "relit")
            kinds = await page.evaluate(
                """async () => {
                    const reports = [...(await window.connection.getStats()).values()];
                    const own = reports.filter(({ type }) => type === "local-candidate");
                    return own.map(({ candidateType }) => candidateType);
                }"""
            )
            assert kinds and set(kinds) == {"relay"}
