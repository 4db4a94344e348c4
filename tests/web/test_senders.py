"""Chromium's camera in other circumstances: no retransmissions, a canvas, a hole in the network."""

from pathlib import Path

import aioice.ice
import numpy as np
import pytest

from support.chromium import chromium, new_frames, opened, require_chromium, see
from support.stand_ins import KeepingSink
from support.web_parts import Served, running, until
from vcam_relight.vcam.settings.store import Settings

CANVAS_LEVELS = 6.0
"""Of 255, between a canvas's colour and what the program reads after VP8 at a pinned bitrate."""

WITHOUT_RTX = """() => {
    const add = RTCPeerConnection.prototype.addTransceiver;
    RTCPeerConnection.prototype.addTransceiver = function (track, init) {
        const transceiver = add.call(this, track, init);
        const { codecs } = RTCRtpReceiver.getCapabilities("video");
        transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === "video/VP8"));
        return transceiver;
    };
}"""

GREEN_CANVAS = """() => {
    navigator.mediaDevices.getUserMedia = async () => {
        const canvas = document.createElement("canvas");
        canvas.width = 640;
        canvas.height = 360;
        const context = canvas.getContext("2d");
        let odd = 0;
        setInterval(() => {
            context.fillStyle = "rgb(10, 200, 10)";
            context.fillRect(0, 0, 640, 360);
            context.fillStyle = (odd = !odd) ? "black" : "white"; // a picture that never rests
            context.fillRect(0, 0, 16, 16);
        }, 33);
        return canvas.captureStream(30);
    };
}"""


async def test_a_sender_without_retransmissions_is_not_frozen(tmp_path: Path) -> None:
    require_chromium()
    async with (
        running() as served,
        chromium(tmp_path) as browser,
        opened(browser, served.server.peer_url) as page,
    ):
        await page.evaluate(WITHOUT_RTX)
        await page.get_by_role("button", name="Start camera").click()
        await new_frames(page, "relit", 60)
        await see(page, "$('numbers').innerText.includes('fps')")


async def test_a_canvas_keeps_its_colours(tmp_path: Path) -> None:
    require_chromium()
    kept = KeepingSink()
    async with (
        running(peer=True, sinks=(kept,)) as served,
        chromium(tmp_path) as browser,
        opened(browser, served.server.peer_url) as page,
    ):
        await page.evaluate(GREEN_CANVAS)
        await page.get_by_role("button", name="Start camera").click()
        await new_frames(page, "relit", 30)

        def colour() -> np.ndarray:
            height, width = kept.kept[-1].original.image.shape[:2]
            middle = kept.kept[-1].original.image[height // 2 :, width // 2 :]
            return np.median(middle.reshape(-1, 3), axis=0)[::-1]

        await until(lambda: colour()[1] > 150)
        assert colour() == pytest.approx([10, 200, 10], abs=CANVAS_LEVELS)


def peer_settings(served: Served) -> Settings:
    """Those of the one peer."""
    (settings,) = (
        session.loop.settings.current.settings
        for session in served.sessions
        if session.loop.settings is not served.store
    )
    return settings


async def test_the_page_comes_back_by_itself_with_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_chromium()
    async with (
        running(max_peers=1) as served,
        chromium(tmp_path) as browser,
        opened(browser, served.server.peer_url) as page,
    ):
        await page.get_by_role("button", name="Start camera").click()
        await new_frames(page, "relit", 5)
        await page.get_by_role("button", name="Off", exact=True).click()
        await page.get_by_label("Background").fill("0.5")
        await see(page, "$('state').dataset.state === 'running'")
        await until(lambda: peer_settings(served).relight.background == 0.5)
        with monkeypatch.context() as hole:  # nothing of the browser arrives any more
            hole.setattr(aioice.ice.StunProtocol, "datagram_received", lambda *args: None)
            await see(page, "$('banner').innerText.includes('Reconnecting')")
            assert await page.locator("#start").inner_text() == "Stop camera"
        await see(page, "$('state').dataset.state === 'running'")
        await new_frames(page, "relit", 5)
        assert (await served.get("/api/state"))["peers"] == 1
        settings = peer_settings(served)
        assert (settings.preset, settings.relight.background) == ("off", 0.5)
        await page.get_by_role("button", name="Stop camera").click()
        await until(lambda: len(served.sessions) == 1)
