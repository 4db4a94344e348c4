"""How many people `vcam serve` carries here: clients of its own join until it refuses one.

    python -m scripts.serve_load --size 320x240 --fps 15 --seconds 20

Clients run on the same machine and take their share of it. What is printed comes from the server's
own /metrics, and from what the clients got back.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path

import aiohttp
import av
import cv2
import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError
from prometheus_client.parser import text_string_to_metric_families

from vcam_relight.vcam.sources.demo import demo_clip

_CLOCK = 90_000


class Camera(VideoStreamTrack):
    """The demo clip at a rate."""

    def __init__(self, frames: list[np.ndarray], fps: float) -> None:
        super().__init__()
        self._frames, self._fps = frames, fps
        self._begin, self._number = time.perf_counter(), 0

    async def recv(self) -> av.VideoFrame:
        """The next frame when it is due."""
        self._number += 1
        await asyncio.sleep(max(0, self._begin + self._number / self._fps - time.perf_counter()))
        image = self._frames[self._number % len(self._frames)]
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = round(self._number * _CLOCK / self._fps), Fraction(1, _CLOCK)
        return frame


class Client:
    """Somebody who joins, and counts what comes back."""

    def __init__(self, frames: list[np.ndarray], fps: float) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTrack(Camera(frames, fps))
        self.got: list[float] = []
        self.connection.on("track", lambda track: asyncio.ensure_future(self._read(track)))

    async def join(self, http: aiohttp.ClientSession, link: str) -> int:
        """The status that the server answers."""
        origin, _, token = link.partition("/join#token=")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = {"sdp": self.connection.localDescription.sdp}
        headers = {"Authorization": f"Bearer {token}"}
        async with http.post(f"{origin}/api/offer", json=offer, headers=headers) as answer:
            if answer.status == 200:
                sdp = (await answer.json())["sdp"]
                await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            return answer.status

    async def _read(self, track: VideoStreamTrack) -> None:
        try:
            while True:
                await track.recv()
                self.got.append(time.perf_counter())
        except MediaStreamError:
            pass


async def main(args: argparse.Namespace) -> None:
    """Fills a server, and says how it does."""
    frames = _frames(args.size)
    with tempfile.TemporaryDirectory() as folder:
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vcam_relight", "serve", "--port", "0",
            "--secret-file", str(Path(folder) / "secret"), "--size", args.size,
            "--fps", str(args.fps), "--engine", args.engine, "--people", "99",
            *(["--places", str(args.places)] if args.places else []),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said = {}
        while "house" not in said:
            assert server.stdout is not None
            key, _, value = (await server.stdout.readline()).decode().strip().partition(": ")
            said[key] = value
        clients: list[Client] = []
        async with aiohttp.ClientSession() as http:
            while True:
                client = Client(frames, args.fps)
                status = await client.join(http, said["join"])
                if status != 200:
                    print(f"{len(clients)} are in; one more is answered {status}")
                    await client.connection.close()
                    break
                clients.append(client)
                await asyncio.sleep(1)
            await asyncio.sleep(5)
            begin = time.perf_counter()
            await asyncio.sleep(args.seconds)
            rates = [sum(one > begin for one in c.got) / args.seconds for c in clients]
            origin, _, token = said["house"].partition("/house#token=")
            headers = {"Authorization": f"Bearer {token}"}
            async with http.get(f"{origin}/metrics", headers=headers) as answer:
                text = await answer.text()
        ages: dict[str, list[float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "vcam_session_age_seconds":
                    ages.setdefault(sample.labels["percentile"], []).append(sample.value * 1e3)
        print(f"frames a second that came back: {', '.join(f'{rate:.1f}' for rate in rates)}")
        print(f"age: median {statistics.median(ages['50']):.0f} ms, p99 {max(ages['99']):.0f} ms")
        for client in clients:
            await client.connection.close()
        server.terminate()
        await server.wait()


def _frames(size: str) -> list[np.ndarray]:
    width, height = map(int, size.split("x"))
    with av.open(str(demo_clip())) as clip:
        decoded = (frame.to_ndarray(format="bgr24") for frame in clip.decode(video=0))
        return [cv2.resize(image, (width, height)) for image in islice(decoded, 90)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--engine", default="triplane")
    parser.add_argument("--places", type=int)
    asyncio.run(main(parser.parse_args()))
