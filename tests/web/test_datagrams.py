"""What anybody may throw at a call's UDP ports, and what offers may ask of the event loop."""

import asyncio
import re
import socket
import struct
import time

import aioice.ice
import pytest
from aiortc import RTCSessionDescription

from support.web_parts import Peer, running, until
from vcam_relight.web.webrtc import aiortc_patches
from vcam_relight.web.webrtc.datagrams import dropped
from vcam_relight.web.webrtc.sdp import check_offer, with_bitrates, with_reachable_candidates

STUN_COOKIE = 0x2112A442


def stun(attributes: bytes) -> bytes:
    """A STUN binding request."""
    return struct.pack("!HHI12s", 1, len(attributes), STUN_COOKIE, b"x" * 12) + attributes


JUNK = {
    "empty": b"",
    "of one byte": b"\x80",
    "too long for libsrtp": b"\x80\x60" + bytes(1600),
    "RTP of a stranger": b"\x80\x60" + bytes(100),
    "DTLS of a stranger": b"\x16\xfe\xfd" + bytes(60),
    "of no protocol": b"\xff" * 200,
    "STUN with a broken address": stun(struct.pack("!HHB3x", 0x20, 1, 9)),
    "STUN with half a number": stun(struct.pack("!HH4s", 0x24, 1, b"1")),
    "STUN without a password": stun(b""),
}


async def test_a_call_goes_on_whatever_others_send_to_its_ports(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as served:
        peer = Peer(served)
        assert (await peer.connect())[0] == 200
        await until(lambda: len(peer.levels) > 5)
        ports = {
            (address, int(port))
            for address, port in re.findall(r"udp \d+ (\S+) (\d+) typ host", peer.answer)
        }
        assert ports
        before = dropped.foreign + dropped.malformed
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for _ in range(20):
                for datagram in JUNK.values():
                    for place in ports:
                        stranger.sendto(datagram, place)
                await asyncio.sleep(0.01)
        seen = len(peer.levels)
        await until(lambda: len(peer.levels) > seen + 20)
        assert dropped.foreign + dropped.malformed > before + 20 * 7
        assert (await served.get("/api/state"))["peers"] == 1
        assert not [r for r in caplog.records if r.levelname in ("WARNING", "ERROR", "CRITICAL")]
        await peer.close()


async def test_no_other_machine_is_heard_by_default() -> None:
    """Own addresses are offered, for Firefox; what comes to them from elsewhere is dropped."""
    aiortc_patches.apply(loopback=True)
    assert aioice.ice.get_host_addresses(True, True)[0] == "127.0.0.1"
    connection = aioice.ice.Connection(ice_controlling=False)
    await connection.gather_candidates()
    (protocol, *_) = connection._protocols
    request = struct.pack("!HHI12s", 1, 0, STUN_COOKIE, b"x" * 12)
    before = dropped.foreign
    protocol.datagram_received(request, ("127.0.0.1", 9))
    assert dropped.foreign == before
    protocol.datagram_received(request, ("198.51.100.7", 9))
    assert dropped.foreign == before + 1
    aiortc_patches.apply(loopback=False)
    assert "127.0.0.1" not in aioice.ice.get_host_addresses(True, True)
    protocol.datagram_received(request, ("198.51.100.7", 9))
    assert dropped.foreign == before + 1
    await connection.close()


async def test_a_page_that_hides_all_its_addresses_is_connected() -> None:
    """As Safari and Firefox offer: mDNS names alone."""
    async with running() as served:
        peer = Peer(served)
        await peer.connection.setLocalDescription(await peer.connection.createOffer())
        sdp = peer.connection.localDescription.sdp
        hidden = re.sub(r"(a=candidate:\S+ 1 udp \d+) \S+ ", r"\1 0a1b-22.local ", sdp)
        assert "local" in hidden
        status, answer = await served.post("/api/offer", {"sdp": hidden})
        assert status == 200
        await peer.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await until(lambda: len(peer.levels) > 5)
        await peer.close()


def offer(*lines: str, bundle: str = "0") -> str:
    """An offer of one video section with more lines."""
    head = f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {bundle}\r\n"
    head += "a=fingerprint:sha-256 00:11\r\n"
    video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\n"
    return head + video + "".join(f"{line}\r\n" for line in lines)


@pytest.mark.parametrize(
    "sdp",
    [
        offer(*["a=rtpmap:96 VP8/90000"] * 200),
        offer(*[f"a=rtpmap:{96 + n} VP8/90000" for n in range(1, 100)]),
        offer(*[f"a=candidate:{n} 1 udp 1 127.0.0.1 {n + 1} typ host" for n in range(200)]),
        offer(*["a=x-nobody-knows:1"] * 2000),
        offer(bundle="0 1 2"),
        offer("a=mid:1", bundle="0 1"),
        offer(bundle="0 0"),
        offer(*["m=video 9 UDP/TLS/RTP/SAVPF 96"] * 20),
    ],
    ids=[
        "mapped often",
        "many codecs",
        "many candidates",
        "unknown lines",
        "bundle",
        "names",
        "bundle twice",
        "sections",
    ],
)
async def test_offers_that_would_stop_the_event_loop_are_refused_at_once(sdp: str) -> None:
    async with running() as served:
        begin = time.perf_counter()
        status, answer = await served.post("/api/offer", {"sdp": sdp})
        assert status == 400 and "offer cannot be used" in answer["error"]
        assert time.perf_counter() - begin < 2.0, "it took seconds for each doubling"
        assert (await served.get("/api/state"))["peers"] == 0


def test_an_ordinary_offer_is_let_through() -> None:
    check_offer(offer("a=fmtp:96 x=1", "a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli"))


def test_an_offer_without_a_certificate_is_refused() -> None:
    ordinary = offer()
    fingerprint = "a=fingerprint:sha-256 00:11\r\n"
    bare = ordinary.replace(fingerprint, "")
    check_offer(bare + fingerprint)  # the section's own
    for sdp in (bare, bare + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + fingerprint):
        with pytest.raises(ValueError, match="no fingerprint"):
            check_offer(sdp)


async def test_what_is_wrong_with_an_offer_is_said_in_words() -> None:
    async with running() as served:
        for lines in ("a=candidate:1 1 udp 1 x", "a=ssrc-group:FID", "a=extmap:x"):
            status, answer = await served.post("/api/offer", {"sdp": offer(lines)})
            assert status == 400 and "()" not in answer["error"], lines
            assert "object has no" not in answer["error"] and "coroutine" not in answer["error"]


def test_candidates_are_those_that_can_be_tried() -> None:
    hidden = "a=candidate:1 1 udp 2113937151 0a1b-22.local 56789 typ host generation 0\r\n"
    other = "a=candidate:2 1 udp 2113937151 192.0.2.77 56789 typ host generation 0\r\n"
    rest = "v=0\r\na=ice-ufrag:a.local\r\n"
    own = ["127.0.0.1", "192.0.2.2"]
    mine = hidden.replace("0a1b-22.local", "192.0.2.2")
    sdp = rest + hidden + other
    assert with_reachable_candidates(sdp, own, from_here=True, only_here=True) == rest + mine
    assert (
        with_reachable_candidates(sdp, own, from_here=True, only_here=False) == rest + mine + other
    )
    assert with_reachable_candidates(sdp, own, from_here=False, only_here=False) == rest + other


def test_bitrates_are_added_to_each_video_codec() -> None:
    sdp = (
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r\n"
        "a=rtpmap:96 VP8/90000\r\n"
        "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
        "a=rtpmap:98 H264/90000\r\na=fmtp:98 packetization-mode=1\r\n"
    )
    lines = with_bitrates(sdp).split("\r\n")
    hints = "x-google-start-bitrate=2500;x-google-min-bitrate=1000;x-google-max-bitrate=3000"
    assert lines[lines.index("a=rtpmap:96 VP8/90000") + 1] == f"a=fmtp:96 {hints}"
    assert "a=fmtp:97 apt=96" in lines
    assert f"a=fmtp:98 packetization-mode=1;{hints}" in lines
