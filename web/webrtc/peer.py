"""Peers: browsers that send their camera over WebRTC and get the relit frames back."""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
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

from vcam_relight.vcam.core.errors import InputError, VcamError
from vcam_relight.vcam.settings.store import SettingsStore
from vcam_relight.vcam.sources.peer import PeerSource
from vcam_relight.vcam.stream.session import Session, SessionLimitError, SessionManager
from vcam_relight.web.control import LagMeter, RemoteControl
from vcam_relight.web.messages import ServerMessage
from vcam_relight.web.webrtc.datagrams import silent_for
from vcam_relight.web.webrtc.sdp import check_offer, with_bitrates
from vcam_relight.web.webrtc.tracks import RelitTrack, TrackSink, drain

log = logging.getLogger(__name__)

CHANNEL = "control"
"""The label of the only data channel that is answered."""
MAX_BUFFERED = 64 * 1024
"""Bytes that may wait in a data channel; state messages are left out beyond that."""
CONNECT_S = 20.0
"""A peer that offered but does not connect gives its place free after that long."""
SILENT_S = 4.0
"""A peer that was not heard for longer, in a hole of the Wi-Fi or asleep, gives its place to one
that asks for it. If none does it is kept until its consent expires, after 30 s (RFC 7675, 5.1)."""


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


class PeerConnection:
    """The WebRTC connection of one browser, to the session that relights its camera."""

    def __init__(
        self,
        port: PeerPort,
        session: Session,
        lag: LagMeter,
        ice_servers: tuple[str, ...],
        ended: Callable[["PeerConnection"], Awaitable[None]],
    ) -> None:
        """Makes the connection; nothing is sent before `answer`.

        Args:
            port: the session's source and one of its sinks.
            session: relights the frames, and is what the control channel controls.
            lag: measures the event loop, for state messages.
            ice_servers: `stun:` URLs.
            ended: awaited once, when the connection is over.
        """
        self.id = secrets.token_urlsafe(16)
        """Known to this browser alone, which names it to be let in again in its own place."""
        self.session = session
        self._port = port
        self._control = RemoteControl(session.loop, lag)
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
        """Accepts an offer and attaches the browser to the port.

        Raises:
            PeerRefused: the offer cannot be read or has no camera.
        """
        offer = RTCSessionDescription(sdp, "offer")
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
            why = str(error) if isinstance(error, ValueError) else ""
            why = why or "one of its lines is malformed"
            raise PeerRefused(400, f"the offer cannot be used ({why})") from error
        self._port.source.attach()
        self._port.sink.attach(track)
        self._spawn(self._give_up())
        return with_bitrates(self._pc.localDescription.sdp)

    @property
    def silent_s(self) -> float:
        """Seconds since the browser was last heard; 0 before it connects."""
        return silent_for(self._pc)

    @property
    def closing(self) -> bool:
        """Whether it is ending."""
        return self._closing is not None

    async def close(self) -> None:
        """Ends the connection and whatever ends with it; may be called twice."""
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
        except Exception:  # what aiortc cannot close must not hide why it is closed
            log.debug("closing a connection", exc_info=True)
        finally:
            await self._ended(self)

    def _prepare_transceivers(self, track: RelitTrack) -> None:
        """Allows VP8 and the camera's track only.

        aiortc's H.264 encoder takes 30 ms for a 720p frame.
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

        def send(message: ServerMessage) -> None:
            if channel.readyState == "open" and channel.bufferedAmount < MAX_BUFFERED:
                channel.send(json.dumps(message))

        async def send_state(message: ServerMessage) -> None:
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
    """Accepts offers and gives each browser a session; ends the session when the browser goes."""

    def __init__(
        self,
        sessions: SessionManager,
        main: Session,
        main_port: PeerPort | None,
        lag: LagMeter,
        ice_servers: tuple[str, ...],
    ) -> None:
        """Accepts nothing yet.

        Args:
            sessions: makes a session of its own for each browser.
            main: the program's own session; new ones start with a copy of its settings.
            main_port: when given, the one browser feeds the program's own session instead.
            lag: as of `PeerConnection`.
            ice_servers: as of `PeerConnection`.
        """
        self._sessions = sessions
        self._main = main
        self._main_port = main_port
        self._lag = lag
        self._ice_servers = ice_servers
        self._connections: set[PeerConnection] = set()

    @property
    def peers(self) -> int:
        """Connected and connecting browsers."""
        return len(self._connections)

    async def offer(
        self, sdp: str, replaces: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> tuple[str, str]:
        """Answers an SDP offer.

        Args:
            sdp: the offer.
            replaces: the id of the browser's last connection, which is ended first.
            settings: what the browser's last session had, for a session of its own.

        Returns:
            The answer's SDP and the id of the connection.

        Raises:
            PeerRefused: 409 when the program's only port is taken, 503 when there are too many
                peers, 400 when the offer or the settings are unusable.
        """
        try:
            check_offer(sdp)
        except ValueError as error:
            raise PeerRefused(400, f"the offer cannot be used ({error})") from error
        # A page that is loaded anew comes while its last connection ends.
        ending = [c.close() for c in self._connections if c.closing or c.id == replaces]
        await asyncio.gather(*ending, return_exceptions=True)
        silent = [c for c in self._connections if c.silent_s > SILENT_S]
        if self._full and silent:
            await max(silent, key=lambda c: c.silent_s).close()
        connection = self._connect(settings or {})  # before the next await: the place is taken
        try:
            answer = await connection.answer(sdp)
        except BaseException:
            await connection.close()
            raise
        if connection.session is not self._main:
            connection.session.loop.start()
        return answer, connection.id

    async def close(self) -> None:
        """Ends all connections."""
        await asyncio.gather(*(connection.close() for connection in list(self._connections)))

    @property
    def _full(self) -> bool:
        if self._main_port is not None:
            return bool(self._connections)
        return len(self._sessions) >= self._sessions.max_sessions

    def _connect(self, settings: Mapping[str, Any]) -> PeerConnection:
        if self._main_port is not None:
            if self._full:
                raise PeerRefused(
                    409,
                    "another browser is already the camera",
                    "close its page, then start again here",
                )
            port, session = self._main_port, self._main
        else:
            port = PeerPort(PeerSource())
            session = self._new_session(port, settings)
        connection = PeerConnection(port, session, self._lag, self._ice_servers, self._ended)
        self._connections.add(connection)
        return connection

    def _new_session(self, port: PeerPort, settings: Mapping[str, Any]) -> Session:
        main = self._main.loop.settings
        copy = SettingsStore(main.presets, main.current.settings)
        try:
            if settings:
                copy.change(settings, resumed=True)
            return self._sessions.create(port.source, copy, [port.sink])
        except InputError as error:
            raise PeerRefused(400, f"the settings cannot be used ({error})") from error
        except SessionLimitError as error:
            raise PeerRefused(
                503,
                f"{self.peers} browsers are connected already, and no more are accepted",
                "close one of their pages, or start vcam with a larger --max-peers",
            ) from error

    async def _ended(self, connection: PeerConnection) -> None:
        try:
            if connection.session is not self._main:
                await asyncio.to_thread(self._sessions.stop, connection.session)  # joins threads
        finally:
            self._connections.discard(connection)
