"""What the web tests share: a moving scene, an engine that is easy to see, a running server, and
an aiortc peer. Server, frame loop, sockets and connections are the real ones."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import av
import cv2
import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from vcam_relight.pipeline.compositing.backdrop import KEEP, Backdrop
from vcam_relight.pipeline.compositing.portrait import Portrait
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL, Effort
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.core.frame import Frame
from vcam_relight.vcam.settings.store import Settings, SettingsStore
from vcam_relight.vcam.sinks import Sink
from vcam_relight.vcam.sources import Source
from vcam_relight.vcam.sources.peer import PeerSource
from vcam_relight.vcam.stream.loop import FrameLoop
from vcam_relight.vcam.stream.session import SessionManager
from vcam_relight.web.panel.preview import PreviewSink
from vcam_relight.web.panel.thumbnails import ThumbnailSink
from vcam_relight.web.server import WebConfig, WebServer
from vcam_relight.web.webrtc.peer import PeerPort

GAIN = 0.4
"""What `DimRelighter` multiplies an image with."""
SCENE_LEVEL = 200
"""Value of the scene's upper half in all channels."""
BITS = 10
"""Bits of the number that a stamped image carries."""
PATIENCE_S = 20.0


async def until(what: Callable[[], Any]) -> Any:
    """Waits until `what()` is truthy and returns it; fails the test when it stays otherwise."""
    end = time.perf_counter() + PATIENCE_S
    while not (value := what()):
        assert time.perf_counter() < end, "it did not happen"
        await asyncio.sleep(0.01)
    return value


def stamped(number: int, width: int = 320, height: int = 240) -> BgrImage:
    """A grey image with its number in black and white blocks along the lower edge."""
    image = np.full((height, width, 3), SCENE_LEVEL, np.uint8)
    block = width // (BITS + 2)
    bits = [0, 1] + [number >> i & 1 for i in range(BITS)]
    for index, bit in enumerate(bits):
        image[-block:, index * block : (index + 1) * block] = 235 if bit else 16
    return image


def stamp_of(image: BgrImage) -> int | None:
    """The number in a stamped image, dimmed or not; None if it is too blurred."""
    height, width = image.shape[:2]
    block = width // (BITS + 2)
    row = image[height - block + block // 4 : height - block // 4].mean(axis=(0, 2))
    levels = [row[i * block + block // 4 : (i + 1) * block - block // 4].mean() for i in range(12)]
    if levels[1] - levels[0] < 30:
        return None
    middle = (levels[0] + levels[1]) / 2
    return sum(1 << i for i, level in enumerate(levels[2:]) if level > middle)


def level(image: BgrImage) -> float:
    """Mean value of the upper part, which has no stamp."""
    return float(image[: image.shape[0] // 2].mean())


class SceneSource(Source):
    """Stamped images at 30 frames per second."""

    kind = label = "scene"

    def __init__(self) -> None:
        self._number = 0
        self._closed = threading.Event()

    def open(self) -> None:
        self._closed.clear()

    def read(self) -> Frame | None:
        if self._closed.wait(1 / 30):
            return None
        self._number += 1
        image = stamped(self._number, 640, 360)
        return Frame(image, time.perf_counter(), self._number * 3000)

    def close(self) -> None:
        self._closed.set()


class DimRelighter:
    """Dims the image under every preset but `off`."""

    effort: Effort = FULL
    backdrop: Backdrop = KEEP
    runs_on = "CPU"

    def __init__(self, delay_s: float = 0.0, error: Exception | None = None) -> None:
        self.timer = StageTimer()
        self._delay_s = delay_s
        self._error = error

    def process(
        self, image: BgrImage, time_s: float, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        self.timer.start_frame()
        if self._error is not None:
            raise self._error
        with self.timer.stage("dim"):
            time.sleep(self._delay_s)
            if lighting.mode == "off":
                return image
            return np.asarray(cv2.convertScaleAbs(image, alpha=GAIN), np.uint8)

    def portrait(self, image: BgrImage, time_s: float) -> Portrait | None:
        return None

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class Served:
    """A server with its sessions; `loop` is the program's own."""

    server: WebServer
    sessions: SessionManager
    loop: FrameLoop
    store: SettingsStore
    preview: PreviewSink
    thumbnails: ThumbnailSink
    http: aiohttp.ClientSession
    port: PeerPort | None
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str) -> dict[str, Any]:
        """GET with the token."""
        async with self.http.get(self.server.origin + path, headers=self.headers) as response:
            data: dict[str, Any] = await response.json()
            return data

    async def post(self, path: str, body: object) -> tuple[int, dict[str, Any]]:
        """POST with the token: status and answer."""
        url = self.server.origin + path
        async with self.http.post(url, json=body, headers=self.headers) as response:
            return response.status, await response.json()

    def panel(self) -> Any:
        """A panel's WebSocket, to be used in `async with`."""
        protocols = ("vcam", f"token.{self.server.token}")
        return self.http.ws_connect(f"{self.server.origin}/ws", protocols=protocols, max_msg_size=0)


def dim(name: str) -> Relight:
    """Makes a `DimRelighter`."""
    return DimRelighter()


@contextlib.asynccontextmanager
async def running(
    make_relighter: Callable[[str], Relight] = dim,
    peer: bool = False,
    sinks: tuple[Sink, ...] = (),
    max_peers: int = 2,
    **config: Any,
) -> AsyncIterator[Served]:
    """A server on a free port; with `peer`, its loop waits for a browser's camera."""
    presets, _ = load_presets()
    store = SettingsStore(presets, Settings("key-left"))
    preview = PreviewSink()
    port = PeerPort(PeerSource()) if peer else None
    source = port.source if port else SceneSource()
    thumbnails = ThumbnailSink(store)
    outputs = [preview, thumbnails, *sinks, *([port.sink] if port else [])]
    sessions = SessionManager(make_relighter, 1 + max_peers, load_grace_period=PATIENCE_S)
    main = sessions.create(source, store, outputs)
    web_config = WebConfig(**({"port": 0} | config))
    server = WebServer(web_config, sessions, main, preview, thumbnails, port)
    main.loop.start()
    try:
        async with aiohttp.ClientSession() as http:
            await server.start()
            headers = {"Authorization": f"Bearer {server.token}"}
            yield Served(
                server, sessions, main.loop, store, preview, thumbnails, http, port, headers
            )
    finally:
        await server.stop()
        await asyncio.to_thread(sessions.stop, main)


class StampTrack(VideoStreamTrack):
    """A camera: stamped images at 30 frames per second."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[int, float] = {}
        self._number = 0

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        self._number = (self._number + 1) % (1 << BITS)
        image = stamped(self._number)
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = pts, time_base
        self.sent[self._number] = time.perf_counter()
        return frame


class Peer:
    """A browser without a browser: sends a stamped camera, keeps what comes back."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.camera = StampTrack()
        self.channel: RTCDataChannel = self.connection.createDataChannel("control")
        self.messages: list[dict[str, Any]] = []
        self.levels: list[float] = []
        """Level of each received image."""
        self.delays: list[tuple[float, float]] = []
        """When an image was received and how old it was, in seconds."""
        self.answer = ""
        self.ended = False
        self._reader: asyncio.Task[None] | None = None
        self.connection.addTrack(self.camera)
        self.channel.on("message", lambda text: self.messages.append(json.loads(text)))
        self.connection.on("track", self._on_track)

    async def connect(self, **more: Any) -> tuple[int, dict[str, Any]]:
        """Offers, with `more` beside the SDP; the status and answer of the server."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription.sdp
        status, answer = await self.served.post("/api/offer", {"sdp": offer} | more)
        if status == 200:
            self.answer = answer["sdp"]
            await self.connection.setRemoteDescription(
                RTCSessionDescription(answer["sdp"], "answer")
            )
        return status, answer

    async def set(self, **changes: Any) -> dict[str, Any]:
        """Changes settings over the data channel; the answer."""
        ident = len(self.messages) + 1000
        self.channel.send(json.dumps({"type": "set", "id": ident, "changes": changes}))
        answer: dict[str, Any] = await until(
            lambda: next((m for m in self.messages if m.get("id") == ident), None)
        )
        return answer

    def states(self) -> list[dict[str, Any]]:
        """The state messages so far."""
        return [message for message in self.messages if message["type"] == "state"]

    def vanish(self) -> None:
        """Goes without a word, as a killed program does: its sockets are gone."""
        for transceiver in self.connection.getTransceivers():
            ice = transceiver.receiver.transport.transport
            for protocol in ice._connection._protocols:
                protocol.transport.abort()

    async def close(self) -> None:
        """A clean end."""
        if self._reader is not None:
            self._reader.cancel()
        await self.connection.close()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self._reader = asyncio.ensure_future(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                self.ended = True
                return
            now = time.perf_counter()
            assert isinstance(frame, av.VideoFrame)
            image = frame.to_ndarray(format="bgr24")
            self.levels.append(level(image))
            number = stamp_of(image)
            if number in self.camera.sent:
                self.delays.append((now, now - self.camera.sent[number]))
