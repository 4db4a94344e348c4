"""`--log-format json`: a program reads the log of `vcam serve`, and which session a line is of."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp

from support.guest_parts import Visitor
from support.web_parts import Peer, until
from vcam_relight.vcam.core.log_context import current_session, in_session, session_thread

ROOT = Path(__file__).parents[2]


def test_a_thread_works_for_the_session_that_began_it() -> None:
    seen: list[str] = []
    with in_session("7"):
        inner = session_thread(lambda: seen.append(current_session()), "of a session")
    outer = session_thread(lambda: seen.append(current_session()), "of none")
    for thread in (inner, outer):
        thread.start()
        thread.join()
    assert seen == ["7", ""] and current_session() == ""


async def test_each_line_of_the_log_is_an_object_that_names_its_session(tmp_path: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "run_vcam.py"), "serve", "--port", "0", "--places", "2",
        "--log-format", "json",
        env=os.environ | {"VCAM_TRIPLANE_CHECKPOINT": str(tmp_path / "none.safetensors")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert program.stdout is not None and program.stderr is not None
    lines: list[dict[str, Any]] = []

    async def read() -> None:
        async for line in cast(asyncio.StreamReader, program.stderr):
            lines.append(json.loads(line))

    reading = asyncio.ensure_future(read())
    try:
        link = ""
        while not link.startswith("join: "):
            link = (await program.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession() as http:
            port = int(link.partition("/join")[0].rpartition(":")[2])
            house: Any = SimpleNamespace(server=SimpleNamespace(port=port), http=http)
            visitors = [Visitor(house, link.partition("token=")[2]) for _ in range(2)]
            peers = [Peer(cast(Any, visitor)) for visitor in visitors]
            for peer in peers:
                assert (await peer.connect())[0] == 200
            await until(lambda: all(len(_of(lines, session)) >= 2 for session in "12"))
            for peer in peers:
                await peer.close()
            await until(lambda: sum("ended" in line["message"] for line in lines) == 2)
    finally:
        program.terminate()
        await program.wait()
        await reading
    for session in "12":
        own = _of(lines, session)
        assert [line["level"] for line in own] == ["info", "warning", "info"]
        began, failed, ended = own
        assert f"session {session} began" in began["message"]
        # From the thread on which the engine was asked for frames.
        assert failed["logger"].endswith("engine_host") and "none.safetensors" in failed["message"]
        assert "ended" in ended["message"]
        assert all(datetime.fromisoformat(line["time"]).utcoffset() is not None for line in own)


def test_the_last_word_is_an_object_too() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_vcam.py"), "serve", "--log-format", "json",
         "--preset", "none"], capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and json.loads(line)["level"] == "error"
    assert "no preset 'none'" in json.loads(line)["message"]


def _of(lines: list[dict[str, Any]], session: str) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("session") == session]
