"""Peers: browsers that send their camera over WebRTC and get the relit frames back."""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamTrack

from vcam_relight.vcam.core.errors import InputError, VcamError
from vcam_relight.vcam.core.log_context import in_session
from vcam_relight.vcam.settings.store import SettingsStore
from vcam_relight.vcam.sources.peer import PeerSource
from vcam_relight.vcam.stream.session import Session, SessionLimitError, SessionManager
from vcam_relight.web.control import LagMeter, RemoteControl
from vcam_relight.web.ice import IceServers
from vcam_relight.web.messages import ByeMessage, ServerMessage
from vcam_relight.web.metrics import PeerCounts
from vcam_relight.web.waiting_room import ASK_AGAIN_S, WaitingRoom
from vcam_relight.web.webrtc.datagrams import silent_for
from vcam_relight.web.webrtc.sdp import check_offer, with_announced_address, with_bitrates
from vcam_relight.web.webrtc.tracks import RelitTrack, TrackSink, drain

log = logging.getLogger(__name__)

CHANNEL = "control"
"""The label of the only data channel that is answered."""
MAX_BUFFERED = 64 * 1024
"""Bytes that may wait in a data channel; state messages are left out beyond that."""
CONNECT_S = 20.0
"""A peer that offered but does not connect gives its place free after that long."""
BYE_S = 0.3
"""For what pages are told last, before their connections end."""
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

    def __init__(
        self,
        status: int,
        what: str,
        hint: str = "",
        retry_after: int = 0,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(what, hint)
        self.status = status
        """The HTTP status that says so."""
        self.retry_after = retry_after
        """Seconds after which to ask again; 0: it would be no use."""
        self.more = more or {}
        """For the page."""


class PeerConnection:
    """The WebRTC connection of one browser, to the session that relights its camera."""

    def __init__(
        self,
        port: PeerPort,
        session: Session,
        lag: LagMeter,
        ice_servers: IceServers,
        ended: Callable[["PeerConnection"], Awaitable[None]],
    ) -> None:
        """Makes the connection; nothing is sent before `answer`.

        Args:
            port: the session's source and one of its sinks.
            session: relights the frames, and is what the control channel controls.
            lag: measures the event loop, for state messages.
            ice_servers: that both ends ask.
            ended: awaited once, when the connection is over.
        """
        self.id = secrets.token_urlsafe(16)
        """Known to this browser alone, which names it to be let in again in its own place."""
        self.session = session
        self.lost = False
        """Whether it ended without a goodbye."""
        self._port = port
        self._control = RemoteControl(session.loop, lag)
        self._ended = ended
        # Without a configuration aiortc asks a public STUN server who we are.
        servers = RTCConfiguration(iceServers=list(ice_servers.for_server()))
        self._pc = RTCPeerConnection(servers)
        self._channel: RTCDataChannel | None = None
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

    def say_bye(self, reason: str) -> None:
        """Tells the page that the connection is about to end, and why."""
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps(ByeMessage(type="bye", reason=reason)))

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
        self._channel = channel

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
            self.lost = self._pc.connectionState == "failed"
            self._closing = asyncio.ensure_future(self._close())

    async def _give_up(self) -> None:
        await asyncio.sleep(CONNECT_S)
        if self._pc.connectionState in ("new", "connecting") and self._closing is None:
            self._closing = asyncio.ensure_future(self._close())

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody who came by an invitation."""

    invitation: str
    """Its id."""
    people: int
    """Who may be in by it at once."""


class PeerHub:
    """Accepts offers and gives each browser a session; ends the session when the browser goes."""

    def __init__(
        self,
        sessions: SessionManager,
        settings: SettingsStore,
        lag: LagMeter,
        ice_servers: IceServers,
        own: tuple[Session, PeerPort] | None = None,
        announced: str | None = None,
    ) -> None:
        """Accepts nothing yet.

        Args:
            sessions: makes a session of its own for each browser.
            settings: what new sessions start with a copy of.
            lag: as of `PeerConnection`.
            ice_servers: as of `PeerConnection`.
            own: when given, the one browser feeds the program's own session instead, by its port.
            announced: the address of this machine in answers, as of `with_announced_address`.
        """
        self._sessions = sessions
        self._settings = settings
        self._lag = lag
        self._ice_servers = ice_servers
        self._own, self._announced = own, announced
        self._connections: dict[PeerConnection, Guest | None] = {}
        self._line = WaitingRoom()
        self.counts = PeerCounts()
        self._closed = ""
        """Why nobody is accepted any more."""

    @property
    def peers(self) -> int:
        """Connected and connecting browsers."""
        return len(self._connections)

    @property
    def waiting(self) -> int:
        """Browsers that wait for a place."""
        return len(self._line)

    async def offer(
        self,
        sdp: str,
        replaces: str | None = None,
        settings: Mapping[str, Any] | None = None,
        ticket: str | None = None,
        guest: Guest | None = None,
    ) -> tuple[str, str]:
        """Answers an SDP offer.

        Args:
            sdp: the offer.
            replaces: the id of the browser's last connection, which is ended first.
            settings: what the browser's last session had, for a session of its own.
            ticket: of a browser that has waited for a place.
            guest: who offers, if by an invitation: they wait in line for a place.

        Returns:
            The answer's SDP and the id of the connection.

        Raises:
            PeerRefused: 409 when the program's only port is taken, or as many are in by one
                invitation as may be, 503 when there are too many peers or the program is about to
                end, 400 when the offer or the settings are unusable.
        """
        try:
            check_offer(sdp)
        except ValueError as error:
            raise PeerRefused(400, f"the offer cannot be used ({error})") from error
        # A page that is loaded anew comes while its last connection ends.
        ending = [c.close() for c in self._connections if c.closing or c.id == replaces]
        moves = any(c.id == replaces for c in self._connections)
        await asyncio.gather(*ending, return_exceptions=True)
        silent = [c for c in self._connections if c.silent_s > SILENT_S]
        if self._full and silent:
            gone = max(silent, key=lambda c: c.silent_s)
            gone.lost = True
            await gone.close()
        if self._closed:
            raise PeerRefused(503, self._closed, retry_after=ASK_AGAIN_S)
        if guest is not None:
            self._admit(guest, ticket)
        # Before the next await: the place is taken.
        connection = self._connect(settings or {}, guest)
        try:
            with in_session(connection.session.id):  # and aiortc's tasks, which begin here
                answer = await connection.answer(sdp)
        except BaseException:
            await connection.close()
            raise
        self.counts.moved += moves
        if self._own is None:
            connection.session.loop.start()
            self._tell(connection.session, "began")
        if self._announced:
            answer = with_announced_address(answer, self._announced)
        return answer, connection.id

    async def close(self, reason: str = "") -> None:
        """Ends all connections, and accepts no more; `reason` is told to their pages."""
        if reason:
            self._closed = reason
            for connection in self._connections:
                connection.say_bye(reason)
            await asyncio.sleep(BYE_S)
        await asyncio.gather(*(connection.close() for connection in list(self._connections)))

    @property
    def _full(self) -> bool:
        if self._own is not None:
            return bool(self._connections)
        return len(self._sessions) >= self._sessions.max_sessions

    def _admit(self, guest: Guest, ticket: str | None) -> None:
        """Raises PeerRefused for who is too many of an invitation, or has to wait."""
        guests = [one for one in self._connections.values() if one is not None]
        if sum(one.invitation == guest.invitation for one in guests) >= guest.people:
            who = "somebody is" if guest.people == 1 else f"{guest.people} people are"
            what = f"{who} in by this invitation already"
            raise PeerRefused(409, what, "ask for one of your own")
        turn = self._line.ask(ticket, self._sessions.max_sessions - len(self._sessions))
        if turn is None:
            raise PeerRefused(503, "too many people wait already", retry_after=10 * ASK_AGAIN_S)
        if turn.place:
            raise PeerRefused(
                503,
                f"all places are taken: you are number {turn.place} in line",
                retry_after=ASK_AGAIN_S,
                more={"ticket": turn.ticket, "place": turn.place},
            )

    def _connect(self, settings: Mapping[str, Any], guest: Guest | None) -> PeerConnection:
        if self._own is not None:
            if self._full:
                raise PeerRefused(
                    409,
                    "another browser is already the camera",
                    "close its page, then start again here",
                )
            session, port = self._own
        else:
            port = PeerPort(PeerSource())
            session = self._new_session(port, settings)
        connection = PeerConnection(port, session, self._lag, self._ice_servers, self._ended)
        self._connections[connection] = guest
        return connection

    def _new_session(self, port: PeerPort, settings: Mapping[str, Any]) -> Session:
        copy = SettingsStore(self._settings.presets, self._settings.current.settings)
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

    def _tell(self, session: Session, what: str) -> None:
        places = f"{len(self._sessions)} of {self._sessions.max_sessions} places are taken"
        with in_session(session.id):
            log.info("session %s %s: %s", session.id, what, places)

    async def _ended(self, connection: PeerConnection) -> None:
        self.counts.lost += connection.lost
        try:
            if self._own is None:
                await asyncio.to_thread(self._sessions.stop, connection.session)  # joins threads
                self._tell(connection.session, "ended")
        finally:
            self._connections.pop(connection, None)
