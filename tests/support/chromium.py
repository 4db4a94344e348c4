"""Debian's Chromium, driven by Playwright, with a file as its camera."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from support.web_parts import PATIENCE_S, stamped

# Playwright's own headless shell rejects getUserMedia; Debian's Chromium does not.
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    # a machine whose only interface is lo has no other address to connect from
    "--allow-loopback-in-peer-connection",
]


def require_chromium() -> None:
    """Skips the test where there is no Chromium; fails it where VCAM_REQUIRE_BROWSER=1."""
    if Path(CHROMIUM).exists():
        return
    reason = "Chromium is not installed (apt-get install chromium)"
    if os.environ.get("VCAM_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def write_camera(path: Path) -> None:
    """A clip of 60 stamped images of 640x480 as motion JPEG: the fake camera."""
    images = (cv2.imencode(".jpg", stamped(number, 640, 480))[1] for number in range(60))
    path.write_bytes(b"".join(bytes(image) for image in images))


@contextlib.asynccontextmanager
async def chromium(folder: Path, **context: Any) -> AsyncIterator[Any]:
    """A browser with an empty profile; give `viewport`, `color_scheme` and the like."""
    from playwright.async_api import async_playwright

    camera = folder / "camera.mjpeg"
    write_camera(camera)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch_persistent_context(
            str(folder / "profile"),
            executable_path=CHROMIUM,
            headless=True,
            args=[*FLAGS, f"--use-file-for-fake-video-capture={camera}"],
            **context,
        )
        browser.set_default_timeout(PATIENCE_S * 1e3)
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def opened(browser: Any, url: str, before: str = "") -> AsyncIterator[Any]:
    """A page; errors in its scripts, and what its policy blocks, fail the test.

    Args:
        browser: see `chromium`.
        url: what it shows.
        before: JavaScript that runs before its own.
    """
    errors: list[str] = []
    page = await browser.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: "Policy" in message.text and errors.append(message.text))
    await page.add_init_script(before)
    await page.goto(url)
    yield page
    await page.close()
    assert not errors


async def see(page: Any, expression: str) -> Any:
    """Waits until a JavaScript expression is truthy in the page and returns it.

    `page.wait_for_function` evaluates strings inside the page, which its policy forbids.
    """
    value = await page.evaluate(
        f"""async () => {{
            const $ = (id) => document.getElementById(id);
            const end = performance.now() + {PATIENCE_S * 1e3};
            while (performance.now() < end) {{
                const value = {expression};
                if (value) return value;
                await new Promise((again) => setTimeout(again, 20));
            }}
            return null;
        }}"""
    )
    assert value is not None, f"never true in the page: {expression}"
    return value


async def frames_shown(page: Any, element: str) -> int:
    """How many frames were shown in a canvas or video that counts them."""
    return int(await page.evaluate(f"document.getElementById('{element}').dataset.frames ?? 0"))


async def new_frames(page: Any, element: str, count: int = 5) -> None:
    """Waits until `count` more frames were shown in a canvas or video that counts them."""
    start = await frames_shown(page, element)
    await see(page, f"Number($('{element}').dataset.frames) >= {start + count}")


async def level_in(page: Any, element: str, x: float = 0.5, y: float = 0.25) -> float:
    """Mean level of a small patch of a canvas or video, at `x`, `y` in 0..1 of its image."""
    value = await page.evaluate(
        """([id, x, y]) => {
            const source = document.getElementById(id);
            const width = source.videoWidth || source.width;
            const height = source.videoHeight || source.height;
            const canvas = document.createElement("canvas");
            canvas.width = canvas.height = 8;
            const context = canvas.getContext("2d");
            context.drawImage(source, x * width - 4, y * height - 4, 8, 8, 0, 0, 8, 8);
            const data = context.getImageData(0, 0, 8, 8).data;
            let sum = 0;
            for (let i = 0; i < 64; i++) sum += data[4 * i] + data[4 * i + 1] + data[4 * i + 2];
            return sum / 192;
        }""",
        [element, x, y],
    )
    return float(value)
