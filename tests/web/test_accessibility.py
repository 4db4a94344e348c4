"""axe-core on all pages, narrow and wide, dark and light: names, roles, contrast, focus."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from conftest import ROOT

from support.chromium import chromium, new_frames, opened, require_chromium, see
from support.guest_parts import serving
from support.web_parts import running

AXE = ROOT / "node_modules/axe-core/axe.min.js"
SIZES = ({"width": 320, "height": 640}, {"width": 1280, "height": 860})

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """One browser for all tests here; skips them where axe-core is not installed."""
    require_chromium()
    if not AXE.exists():
        if os.environ.get("VCAM_REQUIRE_NODE") == "1":
            pytest.fail("axe-core is not installed (npm ci)")
        pytest.skip("axe-core is not installed (npm ci)")
    folder = tmp_path_factory.mktemp("browser")
    async with chromium(folder, reduced_motion="reduce") as context:
        yield context


async def violations(page: Any) -> list[str]:
    """What axe finds on a page as it is, in both themes and sizes."""
    await page.evaluate(AXE.read_text("utf-8"))
    found = []
    for theme in ("dark", "light"):
        await page.emulate_media(color_scheme=theme)
        for size in SIZES:
            await page.set_viewport_size(size)
            assert await page.evaluate("document.documentElement.scrollWidth") == size["width"]
            for violation in (await page.evaluate("axe.run()"))["violations"]:
                nodes = [node["html"][:160] + node["failureSummary"] for node in violation["nodes"]]
                what = f"{theme} {size['width']}: {violation['id']}: {violation['help']}"
                found.append(f"{what}\n  " + json.dumps(nodes[:3], indent=4))
    return found


async def test_the_panel(browser: Any, tmp_path: Path) -> None:
    async with running(presets=tmp_path) as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        await page.keyboard.press("w")
        assert not await violations(page)
        await page.get_by_role("button", name="Save look").click()
        assert not await violations(page)


async def test_the_browsers_camera(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.peer_url) as page:
        assert not await violations(page)
        await page.get_by_role("button", name="Start camera").click()
        await new_frames(page, "relit", 3)
        assert not await violations(page)


async def test_who_is_in(browser: Any) -> None:
    async with serving(places=1) as house, opened(browser, house.server.house_url) as page:
        await see(page, "$('places').innerText")
        assert not await violations(page)


async def test_the_screen_as_a_lamp(browser: Any) -> None:
    async with running() as served:
        page = await browser.new_page()
        try:
            await page.goto(f"{served.server.origin}/screen-light")
            assert not await violations(page)
            await page.set_viewport_size({"width": 1000, "height": 800})
            await page.get_by_label("Width").fill("20")
            await page.get_by_label("Colour temperature").fill("2700")
            await page.get_by_label("Brightness").fill("50")
            lit = "getComputedStyle(document.body).backgroundColor"
            assert await page.evaluate(lit) == "rgb(128, 85, 44)"
            room = await page.locator("main").bounding_box()
            assert (room["x"], room["y"]) == (160, 160), "a frame of 20% of the shorter side is lit"
            await page.reload()
            assert await page.get_by_label("Brightness").input_value() == "50"
        finally:
            await page.close()
