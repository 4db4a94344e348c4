"""Peers over real WebRTC connections inside this process, and the patches that they rely on."""

import asyncio
import contextlib
import json
import statistics
import threading
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from aiortc.codecs import vpx
from aiortc.codecs.h264 import H264Encoder
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.mediastreams import AudioStreamTrack
from aiortc.rtcrtpparameters import (
    RTCRtpCodecParameters,
)
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtp import RtpPacket

from support.stand_ins import KeepingSink
from support.tolerances import VP8_LEVEL
from support.web_parts import (
    GAIN,
    SCENE_LEVEL,
    DimRelighter,
    Peer,
    Served,
    level,
    running,
    stamp_of,
    stamped,
    until,
)
from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.core.frame import TIME_BASE, Frame
from vcam_relight.vcam.sinks import ProcessedFrame
from vcam_relight.vcam.sources.peer import PeerSource
from vcam_relight.web.webrtc import aiortc_patches
from vcam_relight.web.webrtc.peer import SILENT_S
from vcam_relight.web.webrtc.tracks import RelitTrack, TrackSink

DELAY_GROWTH_S = 0.15
"""A 60 ms engine behind a 30 fps camera: between the first and last quarter of 8 s the median age
of images may change by one frame in (33 ms), one out (60 ms) and a busy machine's share. A queue
would grow it by 2.5 s."""

DIM = pytest.approx(SCENE_LEVEL * GAIN, abs=VP8_LEVEL)
BRIGHT = pytest.approx(SCENE_LEVEL, abs=VP8_LEVEL)


@contextlib.asynccontextmanager
async def connected(served: Served) -> AsyncIterator[Peer]:
    """A peer that has its first images and its control channel."""
    peer = Peer(served)
    try:
        status, answer = await peer.connect()
        assert status == 200, answer
        await until(lambda: len(peer.levels) > 5 and peer.states())
        yield peer
    finally:
        await peer.close()


def threads() -> int:
    """Running frame loops: each has one inference thread."""
    return sum(thread.name == "inference" for thread in threading.enumerate())


async def test_frames_come_back_relit_and_controls_change_them() -> None:
    async with running() as served:
        async with connected(served) as peer, connected(served) as other:
            assert peer.levels[-1] == DIM
            hello = next(m for m in peer.messages if m["type"] == "hello")
            assert "key-left" in [preset["name"] for preset in hello["presets"]]
            answer = await peer.set(preset="off")
            assert answer["type"] == "ack" and answer["settings"]["preset"] == "off"
            await until(lambda: peer.levels[-1] == BRIGHT)
            assert (await peer.set(intensity=9))["type"] == "error"
            await until(lambda: peer.states()[-1]["applied"] == answer["settings_id"])
            # Each peer has its own settings and inference thread, and so has the program.
            assert other.levels[-1] == DIM
            assert served.store.current.settings.preset == "key-left"
            assert threads() == 3
            assert (await served.get("/api/state"))["peers"] == 2
        await until(lambda: len(served.sessions) == 1)
        await until(lambda: threads() == 1)


async def test_a_slow_engine_drops_frames_and_delay_does_not_grow() -> None:
    def slow(name: str) -> Relight:
        return DimRelighter(delay_s=0.06)

    async with running(slow) as served, connected(served) as peer:
        start = time.perf_counter()
        await asyncio.sleep(8.0)
        ages = [[], []]
        for received, age in peer.delays:
            quarter = int((received - start) / 2.0)
            if quarter in (0, 3):
                ages[quarter == 3].append(age)
        assert min(map(len, ages)) > 8, "the pictures stopped"
        assert statistics.median(ages[1]) < statistics.median(ages[0]) + DELAY_GROWTH_S
        assert peer.states()[-1]["stats"]["drops"]["source"] > 20


async def test_an_engine_that_raises_lets_the_image_pass() -> None:
    def broken(name: str) -> Relight:
        return DimRelighter(error=RuntimeError("its weights are missing"))

    async with running(broken) as served, connected(served) as peer:
        state = await until(
            lambda: next((s for s in peer.states() if s["state"] == "degraded"), None)
        )
        assert "its weights are missing" in state["reason"]
        count = len(peer.levels)
        await until(lambda: len(peer.levels) > count + 10)
        assert peer.levels[-1] == BRIGHT


async def test_the_number_of_peers_is_capped_and_places_come_free() -> None:
    async with running(max_peers=1) as served:
        async with connected(served):
            refused = Peer(served)
            status, answer = await refused.connect()
            await refused.close()
            assert status == 503 and "close one" in answer["error"]
        await until(lambda: len(served.sessions) == 1)
        async with connected(served) as peer:
            assert peer.levels[-1] == DIM


async def test_a_silent_peers_place_is_kept_until_another_needs_it() -> None:
    async with running(max_peers=1) as served, connected(served) as peer:
        peer.vanish()
        early = Peer(served)
        assert (await early.connect())[0] == 503, "it may come back"
        await early.close()
        await asyncio.sleep(SILENT_S + 0.5)
        assert (await served.get("/api/state"))["peers"] == 1, "nobody needs its place"
        async with connected(served) as other:
            assert other.levels[-1] == DIM
            assert threads() == 2
            url = served.server.origin + "/metrics"
            async with served.http.get(url, headers=served.headers) as response:
                assert {"vcam_lost_total 1.0", "vcam_refused_total 1.0"} <= set(
                    (await response.text()).splitlines()
                )


async def test_a_page_that_comes_back_has_its_place_and_its_settings() -> None:
    async with running(max_peers=1) as served:
        first = Peer(served)
        _, answer = await first.connect()
        await until(lambda: first.states())
        await first.set(preset="off", mirror=True, shadows=0.5)
        settings = (await first.set(engine="geometry"))["settings"]  # which has no shadows
        first.vanish()
        again = Peer(served)
        status, _ = await again.connect(replaces=answer["connection"], settings=settings)
        assert status == 200
        await until(lambda: again.levels and again.levels[-1] == BRIGHT)
        assert again.states()[-1]["settings"] == settings
        assert threads() == 2
        strange = Peer(served)
        assert (await strange.connect(settings={"preset": "no such"}))[0] == 400
        assert (await strange.connect(replaces="another"))[0] == 503
        for peer in (first, again, strange):
            await peer.close()


async def test_a_browser_as_the_camera_of_the_program() -> None:
    virtual_camera = KeepingSink()
    async with running(peer=True, sinks=(virtual_camera,)) as served:
        assert served.port is not None
        waiting = (await until(lambda: virtual_camera.kept))[0].original.image
        assert waiting.std() > 5, "the placeholder says something"
        async with connected(served) as peer:
            assert peer.levels[-1] == DIM
            second = Peer(served)
            status, answer = await second.connect()
            await second.close()
            assert status == 409 and "already the camera" in answer["error"]
            await peer.set(preset="off")
            await until(lambda: peer.levels[-1] == BRIGHT)
            assert served.store.current.settings.preset == "off", "it is the program's own loop"
            await until(lambda: level(virtual_camera.kept[-1].output.image) == BRIGHT)
        await until(lambda: level(virtual_camera.kept[-1].output.image) < 80)  # waiting again
        async with connected(served) as peer:
            assert peer.levels[-1] == BRIGHT
            long = {"type": "set", "id": 1, "changes": {"preset": "ä" * 2100}}  # 4,200 bytes
            peer.channel.send(json.dumps(long, ensure_ascii=False))
            await until(lambda: any("4096 bytes" in m.get("error", "") for m in peer.messages))
        times = [delivery.original.pts for delivery in virtual_camera.kept]
        assert times == sorted(set(times)), "media time grows from peer to peer"
        assert threads() == 1


async def test_an_offer_is_answered_on_loopback_with_one_video_track() -> None:
    async with running() as served:
        peer = Peer(served)
        peer.connection.addTrack(AudioStreamTrack())
        stray = peer.connection.createDataChannel("something else")
        status, _ = await peer.connect()
        assert status == 200
        await until(lambda: peer.states())
        await until(lambda: stray.readyState == "closed")
        candidates = [x for x in peer.answer.splitlines() if x.startswith("a=candidate")]
        assert any(" 127.0.0.1 " in line for line in candidates)
        assert "x-google-start-bitrate=2500" in peer.answer
        audio = peer.answer.partition("m=audio")[2].partition("m=")[0]
        assert "a=inactive" in audio
        await peer.close()
        no_camera = Peer(served)
        sender = no_camera.connection.getTransceivers()[0]
        sender.direction = "inactive"
        offer = await no_camera.connection.createOffer()
        sdp = offer.sdp.replace("m=video", "m=audio")
        assert (await served.post("/api/offer", {"sdp": sdp}))[0] == 400
        await no_camera.connection.close()
        await until(lambda: len(served.sessions) == 1)


def grey(level: int, pts: int) -> av.VideoFrame:
    """A small frame of one level."""
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="bgr24")
    frame.pts, frame.time_base = pts, TIME_BASE
    return frame


def test_a_peer_never_gets_the_image_of_the_one_before() -> None:
    source = PeerSource()
    source.open()
    source.attach()
    source.feed(grey(200, 0))
    shown = source.read()
    assert shown and shown.image.min() > 190
    source.feed(grey(200, 3000))  # not taken yet when its peer goes
    source.detach()
    source.feed(grey(200, 6000))
    source.attach()
    for _ in range(2):  # before the new peer's first frame
        filler = source.read()
        assert filler and np.median(filler.image) < 60 and filler.pts > shown.pts
    source.feed(grey(120, 0))
    first = source.read()
    assert first and abs(int(first.image.mean()) - 120) < 10 and first.pts > filler.pts
    source.close()


async def test_images_on_their_way_reach_no_later_peer() -> None:
    sink, track = TrackSink(), RelitTrack()
    early = Frame(stamped(1), time.perf_counter(), 1)
    sink.attach(track)
    received = asyncio.ensure_future(track.recv())
    sink.write(ProcessedFrame(early, early, 1))
    await asyncio.sleep(0.1)
    assert not received.done()
    late = Frame(stamped(2), time.perf_counter(), 2)
    sink.write(ProcessedFrame(late, late, 1))
    async with asyncio.timeout(5):
        assert stamp_of((await received).to_ndarray(format="bgr24")) == 2


def test_a_source_without_a_peer_shows_a_placeholder_and_wakes_on_close() -> None:
    source = PeerSource()
    source.open()
    begin = time.perf_counter()
    first, second = source.read(), source.read()
    assert time.perf_counter() - begin < 4.0, "a read takes two seconds at most"
    assert first and second and first.image.std() > 5
    assert second.pts - first.pts == pytest.approx(1 / TIME_BASE)
    source.attach()
    for pts in (900_000, 903_000):
        source.feed(grey(90, pts))
        third = source.read()
        assert third and third.pts > second.pts and third.image.shape == (48, 64, 3)
        second = third
    held = source.read()  # connected, but stalled: the last image stays
    assert held and (held.image == third.image).all() and held.pts > third.pts
    timer = threading.Timer(0.1, source.close)
    timer.start()
    begin = time.perf_counter()
    assert source.read() is None
    assert time.perf_counter() - begin < 0.9, "close wakes read"


# the patches


@pytest.fixture
def patched() -> None:
    """All patches, as the server applies them."""
    aiortc_patches.apply(loopback=True)


def packet(number: int, frame: int, last: bool) -> RtpPacket:
    """A video packet of one byte."""
    made = RtpPacket(
        payload_type=97, sequence_number=number, timestamp=frame * 3000, marker=int(last)
    )
    made.ssrc = 1
    made.payload = bytes([0x10, frame])  # a VP8 descriptor, then the data
    made._data = bytes([frame])  # type: ignore[attr-defined]
    return made


def test_patch_bitrates(patched: None) -> None:
    for encoder in (vpx.Vp8Encoder(), H264Encoder()):
        for remb in (100_000, 10_000_000):
            encoder.target_bitrate = remb
            assert encoder.target_bitrate == aiortc_patches.VIDEO_BITRATE


def test_patch_vp8_speed(patched: None) -> None:
    encoder, decoder = vpx.Vp8Encoder(), vpx.Vp8Decoder()
    for number in range(3):
        frame = av.VideoFrame.from_ndarray(stamped(number), format="bgr24")
        frame.pts, frame.time_base = number * 3000, TIME_BASE
        payloads, timestamp = encoder.encode(frame)
        data = b"".join(vpx.vp8_depayload(payload) for payload in payloads)
        (decoded,) = decoder.decode(JitterFrame(data, timestamp))
        assert stamp_of(decoded.to_ndarray(format="bgr24")) == number
    used = encoder.codec
    encoder.target_bitrate = 100_000
    frame.pts += 3000
    encoder.encode(frame)
    assert encoder.codec is used, "one encoder for the whole stream"
    fresh = av.CodecContext.create("libvpx", "w")  # as `encode` makes one
    fresh.options = {"cpu-used": "-6", "noise-sensitivity": "4", "deadline": "realtime"}
    encoder.codec = fresh
    assert encoder.codec.options == {"deadline": "realtime"} | aiortc_patches.QUICK_VP8


def test_patch_marker_bit(patched: None) -> None:
    buffer = JitterBuffer(capacity=16, is_video=True)
    assert buffer.add(packet(0, 0, False))[1] is None
    frame = buffer.add(packet(1, 0, True))[1]
    assert frame is not None and (frame.data, frame.timestamp) == (b"\x00\x00", 0)
    # A lost marker: the next timestamp completes the frame, as without the patch.
    assert buffer.add(packet(2, 1, False))[1] is None
    frame = buffer.add(packet(3, 2, False))[1]
    assert frame is not None and (frame.data, frame.timestamp) == (b"\x01", 3000)
    # Out of order within a frame.
    assert buffer.add(packet(5, 2, True))[1] is None
    frame = buffer.add(packet(4, 2, False))[1]
    assert frame is not None and frame.data == b"\x02\x02\x02"
    # Padding between frames, as senders without RTX probe with, is no frame and no part of one.
    padding = packet(6, 2, False)
    padding._data = b""  # type: ignore[attr-defined]
    assert buffer.add(padding)[1] is None
    frame = buffer.add(packet(7, 3, True))[1]
    assert frame is not None and (frame.data, frame.timestamp) == (b"\x03", 9000)
    audio = JitterBuffer(capacity=16, prefetch=4)
    assert audio.add(packet(0, 0, True))[1] is None, "audio keeps its prefetch"


def test_patches_leave_a_mended_aiortc_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class FixedBuffer(JitterBuffer):
        def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
            return False, JitterFrame(b"", 0)

    stock = FixedBuffer._remove_frame
    monkeypatch.setattr(aiortc_patches, "JitterBuffer", FixedBuffer)
    aiortc_patches.marker_bit()
    assert FixedBuffer._remove_frame is stock

    async def rewritten(self: Any, packet: RtpPacket, arrival_time_ms: int) -> None:
        """Has none of the parts that the patch reaches for."""

    monkeypatch.setattr(RTCRtpReceiver, "_handle_rtp_packet", rewritten)
    aiortc_patches.drain_jitter_buffer()
    assert RTCRtpReceiver._handle_rtp_packet is rewritten


async def test_patch_drains_what_a_retransmission_completes(patched: None) -> None:
    transport: Any = SimpleNamespace(
        state="connected",
        _register_rtp_receiver=lambda *args: None,
        _unregister_rtp_receiver=lambda *args: None,
    )
    receiver = RTCRtpReceiver("video", transport)
    kept: list[JitterFrame] = []
    receiver._RTCRtpReceiver__decoder_thread = object()  # type: ignore[attr-defined]
    receiver._RTCRtpReceiver__decoder_queue = SimpleNamespace(  # type: ignore[attr-defined]
        put=lambda item: kept.append(item[1])
    )
    codec = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90000, payloadType=97)
    receiver._RTCRtpReceiver__codecs[97] = codec  # type: ignore[attr-defined]
    for number in (0, 1, 2, 4, 5, 6, 7):  # the third is lost, and seven others wait for it
        await receiver._handle_rtp_packet(packet(number, number, True), arrival_time_ms=0)
    assert [frame.timestamp // 3000 for frame in kept] == [0, 1, 2]
    await receiver._handle_rtp_packet(packet(3, 3, True), arrival_time_ms=0)
    assert [frame.timestamp // 3000 for frame in kept] == list(range(8))
