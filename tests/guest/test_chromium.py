"""A web page picks the virtual camera by its name, as Meet does, and sees the light change."""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from support.chromium import CHROMIUM, FLAGS, require_chromium
from support.demo import demo_frames
from support.guest_program import FED, LABEL, PATIENCE_S, feeding, running
from support.tolerances import DEVICE_COLOUR
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.vcam.media.letterbox import Letterbox

SIZE = (640, 480)
SEEN = 8.0
"""Levels of 255 by which a key light must change the balance of the face's sides."""

OPEN = """async (label) => {
    const media = navigator.mediaDevices;
    const any = await media.getUserMedia({video: true});  // names are told once one is allowed
    for (const track of any.getTracks()) track.stop();
    const cameras = (await media.enumerateDevices()).filter((d) => d.kind === "videoinput");
    const camera = cameras.find((d) => d.label === label);
    if (!camera) return {names: cameras.map((d) => d.label)};
    const stream = await media.getUserMedia({video: {deviceId: {exact: camera.deviceId}}});
    const video = document.querySelector("video");
    video.srcObject = stream;
    await video.play();
    return {names: cameras.map((d) => d.label), size: [video.videoWidth, video.videoHeight]};
}"""

LOOK = """() => {
    const video = document.querySelector("video");
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth; canvas.height = video.videoHeight;
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    return canvas.toDataURL("image/png").split(",")[1];
}"""


@pytest.fixture
def page_address() -> Iterator[str]:
    """A page with a video element, on localhost, where browsers allow cameras without HTTPS."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>call</title><video muted playsinline></video>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


async def test_a_page_picks_the_camera_and_sees_the_preset_change(
    tmp_path: Path, page_address: str
) -> None:
    require_chromium()
    from playwright.async_api import async_playwright

    faces = [Letterbox(SIZE).fit(face).copy() for face in demo_frames(30)]
    source = ("--source", "camera:" + FED.removeprefix("/dev/video"), "--sink", f"device:{LABEL}")
    args = (*source, "--size", "{}x{}".format(*SIZE), "--engine", "geometry", "--preset", "off")
    with feeding(faces, tmp_path), running(*args, folder=tmp_path) as program:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch_persistent_context(
                str(tmp_path / "profile"),
                executable_path=CHROMIUM,
                headless=True,
                timeout=PATIENCE_S * 1e3,
                args=[flag for flag in FLAGS if "fake-device" not in flag],
            )
            browser.set_default_timeout(PATIENCE_S * 1e3)
            page = await browser.new_page()
            await page.goto(page_address)
            opened = await page.evaluate(OPEN, LABEL)
            assert LABEL in opened["names"]
            assert tuple(opened["size"]) == SIZE

            unlit = await looked_at(page, lambda image: image.mean() > 45)
            error = np.abs(wall(unlit) - wall(faces[0])).max()
            print(f"Chromium: a wall is off by {error:.1f} of 255")
            assert error <= DEVICE_COLOUR
            side = lit_side(unlit)
            for preset, sign in (("key-left", 1), ("key-right", -1), ("key-left", 1)):
                program.choose(preset=preset)

                def relit(image: BgrImage, sign: int = sign) -> bool:
                    return sign * (lit_side(image) - side) > SEEN

                await looked_at(page, relit)
            await browser.close()


async def looked_at(page: Any, found: Callable[[BgrImage], bool]) -> BgrImage:
    """What the page shows, as soon as it is what was looked for."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        data = np.frombuffer(base64.b64decode(await page.evaluate(LOOK)), np.uint8)
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        if found(image):
            return image
    raise AssertionError("the page never showed it")


def wall(image: BgrImage) -> FloatArray:
    """The mean colour of a brown wall, BGR."""
    height, width = image.shape[:2]
    rows = image[int(height * 0.45) : int(height * 0.65), int(width * 0.85) : int(width * 0.95)]
    return np.asarray(rows.mean((0, 1)), np.float32)


def lit_side(image: BgrImage) -> float:
    """By how many levels the left of the face is brighter than its right."""
    height, width = image.shape[:2]
    rows = image[int(height * 0.3) : int(height * 0.6)]
    left = rows[:, int(width * 0.38) : int(width * 0.48)]
    right = rows[:, int(width * 0.52) : int(width * 0.62)]
    return float(left.mean() - right.mean())
