"""A library's track between two real peers in this process, with a real engine."""

import asyncio
import threading
from typing import Any

import av
import cv2
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.video.reformatter import ColorRange, Colorspace

from support.demo import demo_frames
from support.web_parts import DimRelighter, until
from vcam_relight import Relighter, RelightTrack, load_engine, load_presets
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.web.webrtc import aiortc_patches

OFF = load_presets()[0]["off"].lighting()
CHROMA_SUBSAMPLING = 3.0
"""Mean levels that the demo clip's colours lose to I420."""
FACE = (slice(300, 450), slice(530, 720))


class Camera(VideoStreamTrack):
    """The demo clip's first frame, 30 times a second."""

    def __init__(self) -> None:
        super().__init__()
        self.image = demo_frames(1)[0]

    async def recv(self) -> av.VideoFrame:
        frame = av.VideoFrame.from_ndarray(self.image, format="bgr24")
        frame.pts, frame.time_base = await self.next_timestamp()
        return frame


def balance(frame: Any) -> float:
    """By how many levels the face's left half is brighter than its right."""
    face = frame.to_ndarray(format="bgr24")[FACE].astype(float).mean(axis=(0, 2))
    return float(face[: len(face) // 2].mean() - face[len(face) // 2 :].mean())


async def frames(track: MediaStreamTrack, count: int) -> list[Any]:
    return [await asyncio.wait_for(track.recv(), 20) for _ in range(count)]


async def test_a_peer_sees_the_track_under_the_lighting_that_is_set() -> None:
    aiortc_patches.offer_addresses(loopback=True)
    presets = load_presets()[0]
    track = RelightTrack(
        Camera(), Relighter(load_engine("geometry")), presets["key-left"].lighting()
    )
    sender, receiver = (RTCPeerConnection(RTCConfiguration([])) for _ in range(2))
    sender.addTrack(track)
    seen: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
    receiver.on("track", seen.set_result)
    try:
        await sender.setLocalDescription(await sender.createOffer())
        await receiver.setRemoteDescription(sender.localDescription)
        await receiver.setLocalDescription(await receiver.createAnswer())
        await sender.setRemoteDescription(receiver.localDescription)
        video = await asyncio.wait_for(seen, 20)
        assert balance((await frames(video, 20))[-1]) > 10
        track.lighting = presets["key-right"].lighting()
        for _ in range(100):
            if balance((await frames(video, 1))[0]) < -10:
                break
        else:
            pytest.fail("the new lighting never showed")
    finally:
        await asyncio.gather(sender.close(), receiver.close())
    assert track.readyState == "ended"


async def test_the_newest_frame_wins_and_keeps_its_timestamp() -> None:
    dim = RelightTrack(Camera(), DimRelighter(delay_s=0.1), OFF)
    seen = await frames(dim, 10)
    steps = np.diff([frame.pts for frame in seen]) * seen[0].time_base
    assert (steps > 1.5 / 30).all()  # the camera's own are 1 / 30
    dim.stop()


async def test_the_colours_are_those_that_the_frames_say_they_have() -> None:
    class FullRangeHd(Camera):
        def __init__(self) -> None:
            super().__init__()
            self.image = np.full((48, 64, 3), (10, 200, 10), np.uint8)

        async def recv(self) -> av.VideoFrame:
            frame = await super().recv()
            told = frame.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.JPEG,
            )
            told.colorspace, told.color_range = Colorspace.ITU709, ColorRange.JPEG
            told.pts, told.time_base = frame.pts, frame.time_base
            return told

    track = RelightTrack(FullRangeHd(), DimRelighter(), OFF)
    (frame,) = await frames(track, 1)
    track.stop()
    shown = cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2BGR_I420)  # BT.601, limited
    assert np.abs(shown.astype(int) - (10, 200, 10)).max() <= CHROMA_SUBSAMPLING


async def test_an_engine_that_fails_lets_the_video_pass(caplog: pytest.LogCaptureFixture) -> None:
    camera = Camera()
    track = RelightTrack(camera, DimRelighter(error=RuntimeError("no weights")), OFF)
    (frame,) = await frames(track, 1)
    passed = frame.to_ndarray(format="bgr24").astype(int)
    assert abs(passed - camera.image).mean() < CHROMA_SUBSAMPLING
    assert "no weights" in caplog.text
    track.stop()


async def test_it_ends_with_its_source_and_its_thread_with_it() -> None:
    camera = Camera()
    track = RelightTrack(camera, DimRelighter(), OFF)
    await frames(track, 1)
    camera.stop()
    with pytest.raises(MediaStreamError):
        await frames(track, 100)
    assert track.readyState == "ended"
    await until(lambda: not any(t.name == "relight track" for t in threading.enumerate()))


class FailingRelighter(DimRelighter):
    """Fails at each frame, and at forgetting it."""

    def reset(self) -> None:
        raise RuntimeError("nothing to forget")


async def test_an_engine_that_goes_on_failing_is_told_once_and_the_video_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    track = RelightTrack(Camera(), FailingRelighter(error=RuntimeError("no weights")), OFF)
    assert len(await frames(track, 5)) == 5
    assert caplog.text.count("relighting failed") == 1
    track.stop()


async def test_it_ends_where_an_engine_makes_no_image(caplog: pytest.LogCaptureFixture) -> None:
    class Emptying(DimRelighter):
        def process(self, *_: object) -> BgrImage:
            return np.zeros((0, 0, 3), np.uint8)

    track = RelightTrack(Camera(), Emptying(), OFF)
    with pytest.raises(MediaStreamError):
        await frames(track, 1)
    assert "the relit track ends" in caplog.text
