"""Every change that this project makes to aiortc and aioice, in one place.

Each patch says why it is there, where upstream discusses the matter, and which release makes it
unnecessary; each checks for that itself, so that a release with a fix is left alone. They were read
and measured against aiortc 1.16.0, the newest release, and aioice 0.13.0 (pinned in
pyproject.toml); no release ends any of them yet. They change aiortc for the whole process, so the
program applies them (`web.server`) and the library (`RelightTrack`) does not.

| Patch | Upstream | Ends with |
|---|---|---|
| `offer_addresses` | aioice#2, aioice#57 (open) | an aioice that takes a filter of addresses |
| `pin_bitrates` | aiortc#402, aiortc#980 (closed as stale) | an aiortc with bitrates as options |
| `quick_vp8` | not reported yet | an aiortc with encoder options |
| `marker_bit` | not reported yet | an aiortc whose buffer reads the marker bit |
| `drain_jitter_buffer` | aiortc#1416 | the aiortc that fixes it |
"""

import logging
from collections.abc import Callable
from typing import Any

import aioice.ice
from aiortc import rtcrtpreceiver
from aiortc.codecs import h264, is_rtx, vpx
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

from vcam_relight.web.webrtc import color_space
from vcam_relight.web.webrtc.datagrams import screen_datagrams

log = logging.getLogger(__name__)

VIDEO_BITRATE = 2_500_000
"""Bits per second of the video that goes back: 720p at 30 fps without visible blocks."""

QUICK_VP8 = {"cpu-used": "-12", "noise-sensitivity": "0"}

_stock_host_addresses = aioice.ice.get_host_addresses


def apply(loopback: bool) -> None:
    """Applies all patches; a second call only changes which addresses are offered and heard.

    Args:
        loopback: this machine alone may connect.
    """
    offer_addresses(loopback)
    screen_datagrams(frozenset(own_addresses()) if loopback else None)
    pin_bitrates()
    quick_vp8()
    marker_bit()
    drain_jitter_buffer()
    color_space.negotiate()


def own_addresses() -> list[str]:
    """This machine's IPv4 addresses, 127.0.0.1 first."""
    return ["127.0.0.1", *_stock_host_addresses(True, False)]


def offer_addresses(loopback: bool) -> None:
    """Offers the machine's own addresses and 127.0.0.1, where aioice leaves the latter out.

    Without a loopback candidate Chromium finds no way before it was given a camera; without the
    others Firefox finds none, which uses no loopback address of its own. `screen_datagrams` keeps
    other machines out of them.

    Upstream: aioice#2 asks for a choice of addresses; aioice#57 adds one by interface, and the
    maintainer would rather have a callable that filters them. Both are open. Ends with the aioice
    that has such a callable; aiortc has to hand it on.

    Args:
        loopback: this machine alone may connect; False: what aioice offers by itself.
    """
    if not hasattr(aioice.ice, "get_host_addresses"):
        log.warning("this aioice chooses its addresses by itself")
        return
    chosen = _addresses_here if loopback else _stock_host_addresses
    aioice.ice.get_host_addresses = chosen


def _addresses_here(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    return own_addresses() if use_ipv4 else []


def pin_bitrates() -> None:
    """Keeps one encoder at one rate, `VIDEO_BITRATE`.

    aiortc follows REMB between bounds that blur 720p (VP8: 1.5 Mb/s), and builds a new encoder,
    with a new keyframe, at each step over 10%. Equal bounds leave nothing to follow.

    Upstream: aiortc#402 asks for a target bitrate (the maintainer would take `b=AS:`), aiortc#980
    for a maximum; both were closed as stale. Ends with the aiortc that has either.
    """
    for codec in (vpx, h264):
        for name in ("MIN_BITRATE", "DEFAULT_BITRATE", "MAX_BITRATE"):
            if hasattr(codec, name):
                setattr(codec, name, VIDEO_BITRATE)


def quick_vp8() -> None:
    """Encodes a 720p frame in 5.0 ms instead of 8.6.

    aiortc's VP8 encoder spends 3.6 ms on a finer search and a noise filter that a relit image has
    no use for. The settings are local to its `encode`, so they are exchanged on the codec before
    its first frame.

    Upstream: not reported yet (the settings came with aiortc#1284). Ends with the aiortc that lets
    its user choose them; the patch leaves an encoder without `cpu-used=-6` alone.
    """
    if hasattr(vpx.Vp8Encoder, "codec") or "-6" not in vpx.Vp8Encoder.encode.__code__.co_consts:
        return  # patched already, or no longer the settings that were measured

    def get(self: Any) -> Any:
        codec = self.__dict__.get("codec")
        if codec is not None and not codec.is_open and codec.options.get("cpu-used") == "-6":
            codec.options = {**codec.options, **QUICK_VP8}
        return codec

    def put(self: Any, codec: Any) -> None:
        self.__dict__["codec"] = codec

    vpx.Vp8Encoder.codec = property(get, put)  # type: ignore[assignment]


def marker_bit() -> None:
    """Takes a video frame out of the jitter buffer when its last packet comes: 33 ms less delay.

    aiortc's buffer gives a frame only when the next one begins, though the RTP marker bit says that
    it is complete (RFC 7741, section 4.1; RFC 6184, 5.1).

    Upstream: not reported yet. Ends with the aiortc for which `emits_on_marker(JitterBuffer)` is
    true.
    """
    if emits_on_marker(JitterBuffer):
        return
    stock: Callable[[JitterBuffer, int], JitterFrame | None] = JitterBuffer._remove_frame

    def remove_frame(self: JitterBuffer, sequence_number: int) -> JitterFrame | None:
        return _complete_frame(self) if self._is_video else stock(self, sequence_number)

    JitterBuffer._remove_frame = remove_frame  # type: ignore[method-assign]


def emits_on_marker(buffer_type: type[JitterBuffer]) -> bool:
    """Whether a one-packet frame comes out of the buffer at once."""
    packet = RtpPacket(sequence_number=0, timestamp=0, marker=1)
    packet._data = b"x"  # type: ignore[attr-defined]
    return buffer_type(capacity=2, is_video=True).add(packet)[1] is not None


def _complete_frame(buffer: Any) -> JitterFrame | None:
    """Takes the first frame out if it is complete: up to a marker, or to a new timestamp."""
    packets: list[Any] = []
    # A sender without RTX probes with packets of padding alone, between frames: no part of any.
    while (first := buffer._packets[buffer._origin % buffer.capacity]) and not first._data:
        buffer.remove(1)
    for count in range(buffer.capacity):
        packet = buffer._packets[(buffer._origin + count) % buffer.capacity]
        if packet is None:
            return None
        new_frame = bool(packets) and packet.timestamp != packets[0].timestamp
        if not new_frame:
            packets.append(packet)
        if new_frame or packet.marker:
            frame = JitterFrame(b"".join(p._data for p in packets), packets[0].timestamp)
            buffer.remove(len(packets))
            return frame
    return None


_RECEIVER_PARTS = ("codecs", "decoder_queue", "decoder_thread", "jitter_buffer", "timestamp_mapper")


def drain_jitter_buffer() -> None:
    """Takes every complete frame out of the jitter buffer after each packet.

    aiortc takes at most one a packet. When a retransmission completes several at once, all but one
    stay inside, and every later frame is late by as many, for ever.

    Upstream: aiortc#1416. Ends with the release that fixes it; the patch leaves a receiver that
    looks different from 1.16's alone.
    """
    receiver_type = rtcrtpreceiver.RTCRtpReceiver
    stock = receiver_type._handle_rtp_packet
    names = stock.__code__.co_names
    expected = all(f"_RTCRtpReceiver__{part}" in names for part in _RECEIVER_PARTS)
    if stock.__name__ == "handle_and_drain" or not expected:
        return

    async def handle_and_drain(
        self: rtcrtpreceiver.RTCRtpReceiver, packet: RtpPacket, arrival_time_ms: int
    ) -> None:
        await stock(self, packet, arrival_time_ms=arrival_time_ms)
        try:
            _queue_complete_frames(self, packet)
        except Exception:  # an exception here would close the whole transport
            log.exception("draining the jitter buffer")

    receiver_type._handle_rtp_packet = handle_and_drain  # type: ignore[method-assign]


def _queue_complete_frames(receiver: Any, packet: RtpPacket) -> None:
    codecs, queue, thread, buffer, mapper = (
        getattr(receiver, f"_RTCRtpReceiver__{part}") for part in _RECEIVER_PARTS
    )
    codec = codecs.get(packet.payload_type)
    if codec is not None and is_rtx(codec):
        codec = codecs.get(codec.parameters.get("apt"))
    if codec is None or not buffer._is_video or buffer._origin is None or thread is None:
        return
    while (frame := buffer._remove_frame(packet.sequence_number)) is not None:
        frame.timestamp = mapper.map(frame.timestamp)
        queue.put((codec, frame))
