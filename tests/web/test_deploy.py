"""What `deploy/` has, run for real: Caddy before the server, Prometheus beside it."""

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from support.chromium import chromium, new_frames, opened, require_chromium
from support.guest_parts import serving
from support.web_parts import Peer, until

DEPLOY = Path(__file__).parents[2] / "deploy"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.asynccontextmanager
async def program(name: str, *arguments: str, **environment: str) -> AsyncIterator[None]:
    """A program that runs meanwhile."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (apt-get install {name})")
    running = await asyncio.create_subprocess_exec(
        path, *arguments, env={"PATH": "/usr/bin:/bin"} | environment,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        running.terminate()
        await running.wait()


async def test_people_join_through_the_proxy(tmp_path: Path) -> None:
    require_chromium()
    outside = _free_port()
    origin = f"https://localhost:{outside}"
    async with serving(origin=origin) as house:
        own = (DEPLOY / "Caddyfile").read_text().replace("8088", str(house.server.port))
        # Its own certificate for localhost, without a word to this machine's store.
        options = "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n"
        config = tmp_path / "Caddyfile"
        config.write_text(options + own)
        caddy = program(
            "caddy", "run", "--adapter", "caddyfile", "--config", str(config),
            RELIGHT_HOST=f"localhost:{outside}", HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path),
        )  # fmt: skip
        async with caddy, chromium(tmp_path, ignore_https_errors=True) as browser:
            await _listens(outside)
            assert house.link().startswith(f"{origin}/join#")
            async with opened(browser, house.link()) as page:
                await page.get_by_role("button", name="Start camera").click()
                await new_frames(page, "relit")


async def test_prometheus_reads_what_runs(tmp_path: Path) -> None:
    async with serving() as house:
        token = tmp_path / "house-token"
        token.write_text(house.server.token)
        config = tmp_path / "prometheus.yml"
        shipped = (DEPLOY / "prometheus.yml").read_text()
        shipped = shipped.replace("8088", str(house.server.port)).replace("5s", "1s")
        config.write_text(shipped.replace("/run/vcam/house-token", str(token)))
        port = _free_port()
        prometheus = program(
            "prometheus", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
        )  # fmt: skip
        async with prometheus, aiohttp.ClientSession() as http:
            await _listens(port)
            peer = Peer(house.visitor())  # type: ignore[arg-type]
            assert (await peer.connect())[0] == 200
            await until(lambda: peer.levels)
            found = ""
            for _ in range(100):
                url = f"http://127.0.0.1:{port}/api/v1/query?query=vcam_sessions"
                async with http.get(url) as answer:
                    found = await answer.text()
                if '"1"]' in found:
                    break
                await asyncio.sleep(0.1)
            assert '"1"]' in found
            for expression in _expressions():
                url = f"http://127.0.0.1:{port}/api/v1/query"
                async with http.get(url, params={"query": expression}) as answer:
                    reply = await answer.json()
                assert reply["status"] == "success" and reply["data"]["result"], expression
            await peer.close()


def _expressions() -> list[str]:
    """What Grafana's dashboard asks Prometheus for, but what takes minutes of history."""
    panels = json.loads((DEPLOY / "grafana" / "vcam.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(asked) > 10
    return [expression for expression in asked if "rate(" not in expression]


async def _listens(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    pytest.fail("it does not listen")
