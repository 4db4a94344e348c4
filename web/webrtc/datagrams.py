"""Which UDP datagrams reach a peer's connection: those of the peer, and nothing that breaks it.

aioice hands on whatever any sender puts into its sockets. An empty datagram, or one that is longer
than libsrtp takes, closes the DTLS transport and with it the call; malformed STUN raises in the
event loop. So each datagram is looked at before aioice sees it.
"""

import time
from dataclasses import dataclass
from typing import Any

import aioice.ice
from aioice import stun
from aiortc import RTCPeerConnection

MAX_BYTES = 1500
"""Of a datagram: what libsrtp and aiortc's DTLS take. Browsers send 1,200 at most."""

_HEARD = "vcam_heard"  # on aioice's connection: when its peer was last heard, by time.monotonic


@dataclass
class DroppedDatagrams:
    """How many were dropped since the program started; on the event loop only."""

    foreign: int = 0
    """Of senders that have not shown, by a STUN check with the right password, that they are the
    peer; or from another machine, where only this one may."""
    malformed: int = 0
    """Empty, too long, of no protocol that is multiplexed here (RFC 7983), or broken STUN."""


dropped = DroppedDatagrams()


def screen_datagrams(allowed_senders: frozenset[str] | None) -> None:
    """Puts the check before aioice's own handling; a second call changes who may send.

    Args:
        allowed_senders: the addresses that datagrams may come from; None: any.
    """
    protocol = aioice.ice.StunProtocol
    stock = getattr(protocol, "vcam_stock", protocol.datagram_received)

    def datagram_received(
        self: aioice.ice.StunProtocol, data: bytes | str, addr: tuple[Any, ...]
    ) -> None:
        if not isinstance(data, bytes) or not _well_formed(data):
            dropped.malformed += 1
            return
        is_peer = _is_peer(self.receiver, addr[:2])
        is_stun = data[0] < 4
        if not (is_peer or is_stun) or (
            allowed_senders is not None and addr[0] not in allowed_senders
        ):
            dropped.foreign += 1
            return
        if is_peer:
            setattr(self.receiver, _HEARD, time.monotonic())
        stock(self, data, addr)

    protocol.vcam_stock = stock  # type: ignore[attr-defined]
    protocol.datagram_received = datagram_received  # type: ignore[method-assign]


def silent_for(connection: RTCPeerConnection) -> float:
    """Seconds since anything came from the peer; 0 before it was first heard."""
    heard = [
        getattr(transceiver.receiver.transport.transport._connection, _HEARD, None)
        for transceiver in connection.getTransceivers()
        if transceiver.receiver.transport is not None
    ]
    times = [moment for moment in heard if moment is not None]
    return time.monotonic() - max(times) if times else 0.0


def _well_formed(data: bytes) -> bool:
    if not 0 < len(data) <= MAX_BYTES:
        return False
    first = data[0]
    if first < 4:  # STUN
        try:
            stun.parse_message(data)
        except Exception:  # whatever aioice's parser comes upon in a malformed attribute
            return False
        return True
    return 20 <= first <= 63 or 128 <= first <= 191  # DTLS; RTP and RTCP


def _is_peer(connection: aioice.ice.Connection, sender: tuple[Any, ...]) -> bool:
    """Whether a check of ours was answered from there, with the peer's password."""
    succeeded = aioice.ice.CandidatePair.State.SUCCEEDED
    return any(
        pair.state is succeeded and pair.remote_addr == sender for pair in connection._check_list
    )
