"""Minutes of a busy server: panels, peers and an attacker at once, and nothing grows.

`VCAM_SOAK_S=600 pytest -m slow tests/web/test_soak.py` is the long run.
"""

import asyncio
import contextlib
import gc
import os
import re
import socket
import threading
from pathlib import Path

import aiohttp
import pytest

from support.web_parts import Peer, Served, running, until

SOAK_S = float(os.environ.get("VCAM_SOAK_S", "0"))
GROWTH_MB = 30.0
"""Resident memory that may be gained between the first tenth and the end: what allocators keep of
thousands of frames; a leak of one 640x360 frame a second is 400 MB in ten minutes."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOAK_S, reason="VCAM_SOAK_S is not set: seconds that it takes"),
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts by Linux's /proc"),
]


def memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors() -> int:
    """Open files and sockets of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def attack(served: Served, peer: Peer, stop: asyncio.Event) -> None:
    """Junk to the call's ports, half-open and malformed connections, bad offers and messages."""
    port = int(served.server.origin.rpartition(":")[2])
    media = [int(found) for found in re.findall(r"127\.0\.0\.1 (\d+) typ host", peer.answer)]
    junk = [b"", b"\x80" * 1600, b"\x00\x01\x00\x08" + b"x" * 20, b"\x16\xfe\xfd" * 30]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        while not stop.is_set():
            for datagram in junk:
                for place in media:
                    stranger.sendto(datagram, ("127.0.0.1", place))
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(os.urandom(64))
                writer.close()
            # a connection that the server has just given up as silent is no answer
            with contextlib.suppress(aiohttp.ClientError):
                await served.post("/api/offer", {"sdp": "v=0\r\n" + "m=video\r\n" * 3})
                async with served.http.get(f"{served.server.origin}/api/state"):
                    pass
            await asyncio.sleep(0.05)


async def watch(served: Served, stop: asyncio.Event) -> int:
    """A panel that acknowledges each image; how many it saw."""
    shown = 0
    async with served.panel() as panel:
        await panel.send_json({"type": "view", "visible": True, "original": False})
        while not stop.is_set():
            message = await panel.receive(timeout=10)
            assert message.data is not None, "the panel's connection ended"
            if isinstance(message.data, bytes):
                shown += 1
                await panel.send_json({"type": "shown", "frame": shown})
    return shown


async def test_nothing_grows_and_every_session_lives() -> None:
    async with running() as served:
        peers = [Peer(served), Peer(served)]
        for peer in peers:
            assert (await peer.connect())[0] == 200
        await until(lambda: all(len(peer.levels) > 5 for peer in peers))
        stop = asyncio.Event()
        work = [
            asyncio.ensure_future(attack(served, peers[0], stop)),
            asyncio.ensure_future(watch(served, stop)),
        ]
        await asyncio.sleep(SOAK_S / 10)
        gc.collect()
        before = memory_mb(), descriptors(), threading.active_count()
        frames = [len(peer.levels) for peer in peers]
        await asyncio.sleep(SOAK_S * 9 / 10)
        gc.collect()
        after = memory_mb(), descriptors(), threading.active_count()
        assert not any(task.done() for task in work), [task for task in work if task.done()]
        assert after[0] < before[0] + GROWTH_MB
        assert after[1] <= before[1] + 8  # connections that are just being closed
        assert after[2] <= before[2] + 1
        for peer, count in zip(peers, frames, strict=True):
            assert len(peer.levels) > count + SOAK_S, "its pictures stopped"
        stop.set()
        _, shown = await asyncio.gather(*work)
        assert shown > SOAK_S, "the preview stopped"
        for peer in peers:
            await peer.close()
