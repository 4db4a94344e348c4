"""The peer page in Firefox, which hides its addresses behind mDNS names and uses no loopback."""

from pathlib import Path

import pytest

from support.firefox import firefox
from support.tolerances import VP8_LEVEL
from support.web_parts import GAIN, running, until

LEVEL = """
    const video = document.getElementById("ELEMENT"), canvas = document.createElement("canvas");
    canvas.width = canvas.height = 8;
    const context = canvas.getContext("2d");
    context.drawImage(video, 8, 8, 8, 8, 0, 0, 8, 8);  // the fake camera's even colour
    const data = context.getImageData(0, 0, 8, 8).data;
    let sum = 0;
    for (let i = 0; i < 64; i++) sum += data[4 * i] + data[4 * i + 1] + data[4 * i + 2];
    return sum / 192;
"""


async def test_firefoxs_camera_comes_back_relit(tmp_path: Path) -> None:
    async with firefox(tmp_path) as page, running() as served:
        await page.goto(served.server.peer_url)
        await page.evaluate("document.getElementById('start').click()")
        # headless Firefox counts no frames of a video
        await page.see("$('relit').currentTime > 1")
        await page.see("document.body.classList.contains('connected')")
        assert await page.see("$('connection').textContent") == "connected"
        level = await page.evaluate(LEVEL.replace("ELEMENT", "original"))
        relit = await page.evaluate(LEVEL.replace("ELEMENT", "relit"))
        assert relit == pytest.approx(level * GAIN, abs=2 * VP8_LEVEL)
        await page.evaluate("document.getElementById('start').click()")
        await until(lambda: len(served.sessions) == 1)
