"""The PipeWire camera, with a real daemon, portal and Chromium."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.chromium import CHROMIUM, FLAGS, require_chromium
from support.pipewire_session import PipeWireSession, pipewire_session
from support.stand_ins import wait_for
from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.core.frame import Frame, VideoMode
from vcam_relight.vcam.sinks import ProcessedFrame
from vcam_relight.vcam.sinks.pipewire import PipeWireSink
from vcam_relight.vcam.sinks.registry import open_sink

COLORS = {"left": (180, 60, 40), "right": (30, 90, 200)}
"""BGR of both halves of the picture."""
LEVELS = 6
"""Of 255: to I420 and back."""
SIZE = (640, 360)

PAGE = """
async () => {
  const listed = async () => (await navigator.mediaDevices.enumerateDevices())
    .filter(({ kind }) => kind === "videoinput").map(({ label }) => label);
  let cameras = await listed();
  for (let i = 0; !cameras.length && i < 80; i++) { // the portal tells of a new one after a second
    await new Promise((later) => setTimeout(later, 250));
    cameras = await listed();
  }
  const video = document.createElement("video");
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
  video.muted = true;
  await video.play();
  const canvas = new OffscreenCanvas(2, 1).getContext("2d", { willReadFrequently: true });
  const colors = [];
  for (let i = 0; i < 5; i++) {
    await new Promise((seen) => video.requestVideoFrameCallback(seen));
    const { videoWidth: w, videoHeight: h } = video;
    canvas.drawImage(video, w / 4, h / 2, 1, 1, 0, 0, 1, 1);
    canvas.drawImage(video, (3 * w) / 4, h / 2, 1, 1, 1, 0, 1, 1);
    colors.push([w, h, ...canvas.getImageData(0, 0, 2, 1).data]);
  }
  for (const track of video.srcObject.getTracks()) track.stop();
  return { cameras, label: cameras.length && colors.at(-1) };
}
"""


@pytest.fixture(scope="module")
def session() -> Iterator[PipeWireSession]:
    with pipewire_session() as running:
        yield running


def picture(number: int) -> ProcessedFrame:
    image = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    image[:, : SIZE[0] // 2], image[:, SIZE[0] // 2 :] = COLORS["left"], COLORS["right"]
    frame = Frame(image, time.perf_counter(), number * 3000)
    return ProcessedFrame(frame, frame, 1)


@contextlib.contextmanager
def shown(sink: PipeWireSink) -> Iterator[None]:
    """Frames as from a camera, meanwhile."""
    stop = threading.Event()

    def show() -> None:
        number = 0
        while not stop.wait(1 / 30):
            number += 1
            sink.write(picture(number))

    thread = threading.Thread(target=show)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.asynccontextmanager
async def reader(folder: Path) -> AsyncIterator[Any]:
    """Chromium with PipeWire's cameras switched on."""
    from playwright.async_api import async_playwright

    require_chromium()
    flags = [flag for flag in FLAGS if "fake-device" not in flag]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch_persistent_context(
            str(folder / "profile"),
            executable_path=CHROMIUM,
            headless=True,
            args=[*flags, "--enable-features=WebRtcPipeWireCamera"],
        )
        page = await browser.new_page()
        (folder / "page.html").write_text("<!doctype html><title>camera</title>")
        await page.goto((folder / "page.html").as_uri())
        try:
            yield page
        finally:
            await browser.close()


async def test_a_browser_sees_the_camera_and_its_presence_is_known(
    session: PipeWireSession, tmp_path: Path
) -> None:
    sink = open_sink("auto", VideoMode(SIZE, 30.0))
    assert isinstance(sink, PipeWireSink), "where no loopback device is, auto takes it"
    try:
        assert not sink.has_consumers and sink.device == "vcam"
        with shown(sink):
            async with asyncio.timeout(60), reader(tmp_path) as page:
                found = await page.evaluate(PAGE)
                for _ in range(100):
                    if not sink.has_consumers:
                        break
                    await asyncio.sleep(0.1)
        assert not sink.has_consumers, "nobody reads it any more"
    finally:
        sink.close()
    width, height, *pixels = found["label"]
    assert "vcam" in found["cameras"] and (width, height) == SIZE
    for rgba, color in zip((pixels[:4], pixels[4:]), COLORS.values(), strict=True):
        assert np.abs(np.subtract(rgba[2::-1], color)).max() <= LEVELS


def test_a_daemon_that_ends_is_noticed_and_one_that_comes_back_is_used(
    session: PipeWireSession,
) -> None:
    sink = PipeWireSink(SIZE, 30.0, None)
    sink.open()

    def fails() -> bool:
        try:
            sink.write(picture(1))
        except SinkError as error:
            assert "PipeWire dropped the camera" in str(error)
            return True
        return False

    session.stop_pipewire()
    wait_for(fails)
    sink.close()
    with pytest.raises(SinkError, match="PipeWire does not run"):
        sink.open()
    session.start_pipewire()
    sink.open()
    sink.write(picture(2))
    sink.close()
