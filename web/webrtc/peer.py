"""Peers: browsers that send their camera over WebRTC and get the relit picture back."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamTrack

from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.vcam.sources.peer import PeerSource
from vcam_relight.vcam.stream.loop import FrameLoop
from vcam_relight.web.control import Control, LagMeter
from vcam_relight.web.webrtc.sdp import with_bitrates, without_local_candidates
from vcam_relight.web.webrtc.tracks import RelitTrack, TrackSink, drain

log = logging.getLogger(__name__)

CHANNEL = "control"
"""The label of the only data channel that is answered."""
MAX_BUFFERED = 64 * 1024
"""Bytes that may wait in a data channel; state messages are left out beyond that."""
MAX_MEDIA = 4
"""Media sections (`m=`) of an offer; ours has two. aiortc makes a transport for each, on the event
loop."""
CONNECT_S = 20.0
"""A peer that offered but does not connect gives its place free after that long."""


class PeerPort:
    """The ends of one WebRTC connection: what comes from the browser, what goes back to it."""

    def __init__(self, source: PeerSource) -> None:
        self.source = source
        self.sink = TrackSink()


class PeerRefused(VcamError):
    """An offer was not accepted."""

    def __init__(self, status: int, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.status = status
        """The HTTP status that says so."""


class PeerSession:
    """One connected browser."""

    def __init__(
        self,
        port: PeerPort,
        loop: FrameLoop,
        own_loop: bool,
        lag: LagMeter,
        ice_servers: tuple[str, ...],
        ended: Callable[["PeerSession"], None],
    ) -> None:
        """Args:
        port: the loop's source and one of its sinks.
        loop: relights the pictures.
        own_loop: whether the session starts and stops it.
        ended: called once, when the session is over.
        """
        self._port = port
        self._loop = loop
        self._own_loop = own_loop
        self._control = Control(loop, lag)
        self._ended = ended
        servers = [RTCIceServer(url) for url in ice_servers]
        # Without a configuration aiortc asks a public STUN server who we are.
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._has_video = False
        self._has_channel = False
        self._pc.on("track", self._on_track)
        self._pc.on("datachannel", self._on_channel)
        self._pc.on("connectionstatechange", self._on_state)

    async def answer(self, sdp: str) -> str:
        """Accepts an offer and starts.

        Raises:
            PeerRefused: the offer cannot be read or has no camera.
        """
        offer = RTCSessionDescription(without_local_candidates(sdp), "offer")
        try:
            await self._pc.setRemoteDescription(offer)
            if not self._has_video:
                raise PeerRefused(400, "the offer has no video", "send a camera track")
            track = RelitTrack()
            self._pc.addTrack(track)
            self._prepare_transceivers(track)
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except PeerRefused:
            raise
        except Exception as error:  # aiortc's parser raises whatever a malformed line leads to
            raise PeerRefused(400, f"the offer cannot be used ({error})") from error
        self._port.source.attach()
        self._port.sink.attach(track)
        if self._own_loop:
            self._loop.start()
        self._spawn(self._give_up())
        return with_bitrates(self._pc.localDescription.sdp)

    @property
    def closing(self) -> bool:
        """Whether it is ending."""
        return self._closing is not None

    async def close(self) -> None:
        """Ends the connection and, if it is the session's own, the loop. May be called twice."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._port.sink.detach()
        self._port.source.detach()
        for task in self._tasks:
            task.cancel()
        try:
            await self._pc.close()
            if self._own_loop:
                await asyncio.to_thread(self._loop.stop)  # joins threads
        finally:
            self._ended(self)

    def _prepare_transceivers(self, track: RelitTrack) -> None:
        """VP8 only, since aiortc's H.264 encoder takes 30 ms for a 720p frame; all tracks but
        the camera's are refused.
        """
        vp8 = [
            codec
            for codec in RTCRtpSender.getCapabilities("video").codecs
            if codec.mimeType.lower() in ("video/vp8", "video/rtx")
        ]
        for transceiver in self._pc.getTransceivers():
            if transceiver.sender.track is track:
                transceiver.setCodecPreferences(vp8)
            else:
                transceiver.direction = "inactive"

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and not self._has_video:
            self._has_video = True
            self._spawn(drain(track, self._port.source.feed))
        else:
            self._spawn(drain(track, lambda frame: None))

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL or self._has_channel:
            channel.close()
            return
        self._has_channel = True

        def send(message: dict[str, Any]) -> None:
            if channel.readyState == "open" and channel.bufferedAmount < MAX_BUFFERED:
                channel.send(json.dumps(message))

        async def send_state(message: dict[str, Any]) -> None:
            send(message)

        def on_message(message: str | bytes) -> None:
            if isinstance(message, str) and (answer := self._control.answer(message)):
                send(answer)

        channel.on("message", on_message)
        send(self._control.hello())
        self._spawn(self._control.report(send_state))

    def _on_state(self) -> None:
        log.debug("peer: %s", self._pc.connectionState)
        if self._pc.connectionState in ("failed", "closed") and self._closing is None:
            self._closing = asyncio.ensure_future(self._close())

    async def _give_up(self) -> None:
        await asyncio.sleep(CONNECT_S)
        if self._pc.connectionState in ("new", "connecting") and self._closing is None:
            self._closing = asyncio.ensure_future(self._close())

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class PeerHub:
    """Accepts offers, up to a number, and forgets peers that have gone."""

    def __init__(
        self,
        make_loop: Callable[[PeerPort], FrameLoop],
        shared: tuple[PeerPort, FrameLoop] | None,
        lag: LagMeter,
        ice_servers: tuple[str, ...],
        max_peers: int,
    ) -> None:
        """Args:
        make_loop: a loop of its own for each peer, not yet started.
        shared: when given, the one peer feeds this port of the program's own loop instead.
        """
        self._make_loop = make_loop
        self._shared = shared
        self._lag = lag
        self._ice_servers = ice_servers
        self._max_peers = max_peers
        self._sessions: set[PeerSession] = set()

    @property
    def peers(self) -> int:
        """Connected and connecting browsers."""
        return len(self._sessions)

    async def offer(self, sdp: str) -> str:
        """Answers an SDP offer.

        Raises:
            PeerRefused: 409 when the program's only port is taken, 503 when there are too many
                peers, 400 when the offer is unusable.
        """
        if sum(line.startswith("m=") for line in sdp.splitlines()) > MAX_MEDIA:
            raise PeerRefused(400, f"an offer has at most {MAX_MEDIA} media sections")
        # A page that is loaded anew comes while its last session ends.
        ending = [session.close() for session in self._sessions if session.closing]
        await asyncio.gather(*ending, return_exceptions=True)
        session = self._session()
        self._sessions.add(session)  # before the next await: the place is taken
        try:
            return await session.answer(sdp)
        except BaseException:
            await session.close()
            raise

    async def close(self) -> None:
        """Ends all sessions."""
        await asyncio.gather(*(session.close() for session in list(self._sessions)))

    def _session(self) -> PeerSession:
        if self._shared is not None:
            if self._sessions:
                raise PeerRefused(
                    409,
                    "another browser is already the camera",
                    "close its page, then start again here",
                )
            port, loop = self._shared
        elif len(self._sessions) >= self._max_peers:
            raise PeerRefused(
                503,
                f"{self._max_peers} browsers are connected already, and no more are accepted",
                "close one of their pages",
            )
        else:
            port = PeerPort(PeerSource())
            loop = self._make_loop(port)
        own_loop = self._shared is None
        return PeerSession(
            port, loop, own_loop, self._lag, self._ice_servers, self._sessions.discard
        )
