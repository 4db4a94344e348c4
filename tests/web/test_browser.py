"""Both pages in a real browser, against a real server and frame loop."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import pytest_asyncio

from support.chromium import (
    chromium,
    frames_shown,
    level_in,
    new_frames,
    opened,
    require_chromium,
    see,
)
from support.live_parts import running as live
from support.stand_ins import KeepingSink
from support.tolerances import JPEG_LEVEL, VP8_LEVEL
from support.web_parts import GAIN, PATIENCE_S, SCENE_LEVEL, DimRelighter, Served, running, until
from vcam_relight.pipeline.lighting.lights import Light
from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.cli.app import redirect_page

DIM = pytest.approx(SCENE_LEVEL * GAIN, abs=JPEG_LEVEL)
BRIGHT = pytest.approx(SCENE_LEVEL, abs=JPEG_LEVEL)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """One browser for all tests here; each opens its own pages."""
    require_chromium()
    desktop = {"width": 1280, "height": 860}
    async with chromium(tmp_path_factory.mktemp("browser"), viewport=desktop) as context:
        yield context


async def level_becomes(page: Any, element: str, wanted: object) -> None:
    """Waits until the image has a level."""
    for _ in range(200):
        value = await level_in(page, element)
        if value == wanted:
            return
        await new_frames(page, element, 1)
    raise AssertionError(f"the level stays at {value}, not {wanted}")


def aim(served: Served) -> tuple[float, float] | None:
    """Where the light is now."""
    return served.store.current.settings.aim


async def all_has_arrived(page: Any, served: Served) -> None:
    """Waits until the light is where the page shows it: changes are merged while one is sent."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            shown = await page.locator("#light").get_attribute("data-aim")
            if aim(served) == tuple(map(float, shown.split())):
                return
            await asyncio.sleep(0.01)


async def centre(page: Any, selector: str) -> tuple[float, float]:
    """An element's middle in CSS pixels."""
    box = await page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


async def test_presets_and_sliders_change_the_image(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        assert await level_in(page, "picture") == DIM
        await see(page, "$('state').innerText === 'Live'")
        await see(page, "$('presets').dataset.sheets")  # balls, as this engine knows no heads
        left, right = await page.evaluate(
            """() => {
                const picture = document.querySelector("[data-preset=key-left] canvas");
                const level = (x) => picture.getContext("2d").getImageData(x, 48, 1, 1).data[0];
                return [level(24), level(72)];
            }"""
        )
        assert left > 1.3 * right
        await page.get_by_role("button", name="Off", exact=True).click()
        await level_becomes(page, "picture", BRIGHT)
        await page.keyboard.press("4")  # the fourth, not counting off
        await level_becomes(page, "picture", DIM)
        assert served.store.current.settings.preset == "key-right"
        await see(page, "document.querySelector('[data-preset=key-right]').ariaPressed === 'true'")
        await page.keyboard.press("0")
        await level_becomes(page, "picture", BRIGHT)

        warmth = page.get_by_label("Warmth")
        await warmth.fill("0.5")
        await until(lambda: served.store.current.settings.relight.warmth == 0.5)
        await warmth.press("ArrowRight")
        await until(lambda: served.store.current.settings.relight.warmth == 0.55)
        await warmth.press("Shift+ArrowLeft")
        await until(lambda: served.store.current.settings.relight.warmth == 0.54)
        await warmth.dblclick()
        await until(lambda: served.store.current.settings.relight.warmth == 0.0)
        assert await page.get_by_label("Turn").is_visible()
        await page.get_by_label("Engine").select_option("geometry")  # which shows no other views
        await see(page, "document.querySelector('[data-control=yaw]').hidden")
        numbers = await page.locator("#numbers").inner_text()
        assert "fps" in numbers and "dropped" in numbers and "640 × 360" in numbers


async def test_the_first_steps_are_shown_once(browser: Any) -> None:
    async with running() as served:
        async with opened(browser, served.server.url, "localStorage.clear()") as page:
            tour = page.get_by_role("region", name="First steps")
            await see(page, "$('tour-count').innerText === '1 of 4'")
            assert await page.locator("#presets.toured").count() == 1
            for _ in range(3):
                await page.get_by_role("button", name="Next").click()
            assert await page.locator("#route.toured").count() == 1
            await page.get_by_role("button", name="Done").click()
            assert not await tour.is_visible() and not await page.locator(".toured").count()
        async with opened(browser, served.server.url) as page:
            await new_frames(page, "picture")
            assert not await page.locator("#tour").is_visible()


async def test_the_camera_is_chosen_in_the_panel(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        camera, picture = (
            page.get_by_label("Camera", exact=True),
            page.get_by_label("Size and rate"),
        )
        assert "Demo clip" in await camera.inner_text()
        await camera.select_option("demo")
        await until(lambda: served.loop.source.label == "demo clip")
        await see(page, "$('numbers').innerText.includes('1280 × 720')")
        await picture.select_option("640,360@15")
        await see(page, "$('numbers').innerText.includes('640 × 360')")
        await camera.select_option(label="scene")  # what the program began with, say a file
        await level_becomes(page, "picture", DIM)
        status, answer = await served.post(
            "/api/source", {"source": "/etc/passwd", "size": [640, 360], "fps": 15}
        )
        assert status == 400 and "no source" in answer["error"]
        assert served.loop.source.label == "scene" and served.loop.problem == ""


async def test_a_recording_begins_and_ends_in_the_panel(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_VIDEOS_DIR", str(tmp_path / "Videos"))
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        button = page.locator("#record")
        await button.click()
        await see(page, "$('record').ariaPressed === 'true'")
        await until(lambda: served.loop.runners[-1].sink.kind == "recording")
        await until(lambda: served.loop.runners[-1].rate.per_second() > 0)
        await button.click()
        await see(page, "$('notice').innerText.startsWith('Recorded: ')")
        await see(page, "$('record').ariaPressed === 'false'")
        file = (await page.locator("#notice").inner_text()).removeprefix("Recorded: ")
        assert Path(file).parent == tmp_path / "Videos"
        with av.open(file) as container:
            shown = next(container.decode(video=0)).to_ndarray(format="bgr24")
        assert shown[:150].mean() == pytest.approx(SCENE_LEVEL * GAIN, abs=JPEG_LEVEL)

        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_VIDEOS_DIR", str(tmp_path / "file"))
        await button.click()
        await see(page, "$('notice').innerText.includes('File exists')")
        assert served.loop.problem == ""


async def test_the_backdrop_is_chosen_in_the_panel(
    browser: Any, tmp_path: Path, config_home: Path
) -> None:
    picture = tmp_path / "beach.png"
    cv2.imwrite(str(picture), np.full((90, 160, 3), (200, 120, 40), np.uint8))
    (tmp_path / "words.txt").write_text("no picture")
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        backdrop = page.get_by_label("Backdrop", exact=True)
        await backdrop.select_option("blur")
        await page.get_by_label("Amount of the backdrop").fill("0.8")
        await until(lambda: served.store.current.backdrop.kind == "blur")
        await until(lambda: served.store.current.backdrop.amount == 0.8)
        await backdrop.select_option("color")
        await page.get_by_label("Colour of the backdrop").fill("#00b140")
        await until(lambda: served.store.current.backdrop.color == (0, 0xB1, 0x40))
        await backdrop.select_option("picture")
        await page.locator("#backdrop-input").set_input_files(picture)
        await until(lambda: served.store.current.backdrop.picture is not None)
        shown = served.store.current.backdrop.picture
        assert shown is not None and shown.shape == (90, 160, 3)
        assert np.abs(shown.reshape(-1, 3).mean(axis=0) - (200, 120, 40)).max() < 4
        assert (config_home / "backdrop.png").is_file(), "it is there at the next start"
        await page.locator("#backdrop-input").set_input_files(tmp_path / "words.txt")
        await see(page, "$('notice').innerText.includes('no picture')")
        status, answer = await served.post("/api/backdrop", {"picture": "bm8gcGljdHVyZQ=="})
        assert status == 400 and answer["error"]
        assert served.store.current.backdrop.picture is shown


async def test_a_look_is_saved_renamed_and_deleted(browser: Any, tmp_path: Path) -> None:
    async with (
        running(presets=tmp_path) as served,
        opened(browser, served.server.url) as page,
        opened(browser, served.server.url) as other,
    ):
        await page.bring_to_front()
        await new_frames(page, "picture")
        await page.keyboard.press("8")
        await page.get_by_label("Warmth").fill("0.5")
        await page.get_by_role("button", name="Save look").click()
        await page.keyboard.type("my 1st cm")  # none of which is a shortcut here
        await page.keyboard.press("Enter")
        await see(page, "document.querySelector('[data-preset=my-1st-cm]')?.ariaPressed === 'true'")
        saved = served.store.presets["my-1st-cm"]
        assert saved.controls.warmth == 0.5
        assert saved.lights == served.store.presets["window"].lights
        await see(other, "document.querySelector('[data-preset=my-1st-cm] canvas')?.width > 90")
        await page.get_by_role("button", name="Save look").click()
        await page.get_by_label("Name", exact=True).fill("Rim")
        await page.keyboard.press("Enter")
        await see(page, "$('notice').innerText.includes('choose another name')")
        await page.get_by_role("button", name="Rename").click()
        await page.get_by_label("Name", exact=True).fill("Evening")
        await page.keyboard.press("Enter")
        await see(other, "document.querySelector('[data-preset=evening]')?.ariaPressed === 'true'")
        page.once("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
        await page.get_by_role("button", name="Delete").click()
        await see(page, "!document.querySelector('[data-preset=evening]')")
        assert not await page.get_by_role("button", name="Rename").is_visible()
        assert served.store.current.settings.preset == "auto"


async def test_the_light_is_dragged_on_the_image(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        light = page.locator("#light")
        x, y = await centre(page, "#light")
        middle_x, middle_y = await centre(page, "#stage")
        assert x < middle_x and y < middle_y, "key-left shines from the upper left"
        await page.mouse.move(x, y)
        await page.mouse.down()
        await page.mouse.move(middle_x + 100, middle_y + 60, steps=8)
        await page.mouse.up()
        await until(lambda: aim(served) is not None and aim(served)[0] > 5 and aim(served)[1] < -5)
        await all_has_arrived(page, served)
        dropped_x, _ = await centre(page, "#light")
        assert abs(dropped_x - (middle_x + 100)) < 6, "the handle stays under the pointer"

        azimuth, elevation = aim(served)
        await light.focus()
        await page.keyboard.press("ArrowRight")
        await until(lambda: aim(served) == (azimuth + 5, elevation))
        await page.keyboard.press("Shift+ArrowUp")
        await until(lambda: aim(served) == (azimuth + 5, elevation + 1))

        for _ in range(4):  # held; mirrored once, the light changes sides with the image
            await page.keyboard.down("m")
        await page.keyboard.up("m")
        await until(lambda: served.store.current.settings.mirror)
        await see(page, f"$('light').getBoundingClientRect().x < {middle_x - 50}")
        await see(page, "$('aim').textContent.includes('left')")
        x, y = await centre(page, "#light")
        await page.mouse.move(x, y)
        await page.mouse.down()
        await page.mouse.move(middle_x + 150, y, steps=5)
        await page.mouse.up()
        await until(lambda: aim(served)[0] < -10)

        await light.dblclick()
        await until(lambda: aim(served) is None)

        await page.keyboard.press("0")
        await see(page, "$('light').hidden && $('aim').textContent === 'no key light'")


async def test_lights_are_edited_on_the_image(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")

        def lights() -> tuple[Light, ...]:
            return served.store.current.settings.lights or ()

        own = served.store.presets["key-left"].lights
        await page.get_by_role("button", name="Add", exact=True).click()
        await until(lambda: lights()[:2] == own and len(lights()) == 3)
        third = page.get_by_role("button", name="Light 3:")
        await third.press("ArrowUp")
        await third.press("+")
        await third.press("]")
        await page.get_by_label("Colour of the light").fill("#00ff00")
        await until(lambda: lights()[2].rgb[0] == 0 and lights()[2].rgb[1] > 1)
        await until(lambda: lights()[2].softness == pytest.approx(0.35))
        assert lights()[2].elevation == 25
        box = await third.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        await page.mouse.move(x, y)
        await page.mouse.down()
        await page.mouse.move(x - 200, y + 30, steps=6)
        await page.mouse.up()
        await until(lambda: lights()[2].azimuth < 30 and lights()[2].elevation < 25)
        assert lights()[:2] == own and served.store.current.settings.preset == "key-left"

        await page.get_by_label("Light to edit").select_option("Light 2")
        await page.get_by_role("button", name="Remove").click()
        await until(lambda: len(lights()) == 2 and lights()[1].rgb[0] == 0)
        await page.keyboard.press("Control+z")
        await until(lambda: len(lights()) == 3 and lights()[1] == own[1])
        await page.keyboard.press("Control+Shift+Z")
        await until(lambda: len(lights()) == 2)
        await page.get_by_role("button", name="Light 2:").press("Delete")
        await until(lambda: lights() == own[:1])
        assert await page.get_by_role("button", name="Remove").is_disabled(), "one light stays"
        await page.locator("#light").press("ArrowDown")
        await until(lambda: served.store.current.settings.aim == (-55, 20))
        await page.get_by_role("button", name="Reset lights").click()
        await until(lambda: served.store.current.settings.lights is None)
        assert served.store.current.settings.aim is None
        await page.keyboard.press("0")
        await see(page, "$('light-editor').hidden && $('light').hidden")


async def test_the_page_speaks_the_language_that_is_chosen(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        async with page.expect_event("load"):
            await page.get_by_label("Language").select_option("Deutsch")
        await new_frames(page, "picture")
        assert await page.evaluate("document.documentElement.lang") == "de"
        await page.get_by_role("button", name="Fenster").click()
        await until(lambda: served.store.current.settings.preset == "window")
        await page.get_by_label("Wärme").fill("0.5")
        await until(lambda: served.store.current.settings.relight.warmth == 0.5)
        await see(page, "$('aim').textContent === '72° links, 15° oben'")
        async with page.expect_event("load"):
            await page.get_by_label("Language").select_option("English")
        await page.get_by_role("button", name="Window").click()


async def test_two_looks_are_switched_to_and_fro(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")

        def now() -> tuple[str, object, float]:
            settings = served.store.current.settings
            return settings.preset, settings.aim, settings.relight.warmth

        await page.get_by_label("Warmth").fill("0.5")
        await page.locator("#light").press("ArrowUp")
        await until(lambda: now() == ("key-left", (-55, 30), 0.5))
        await page.keyboard.press("b")
        await see(page, "$('two-looks').innerText.startsWith('Look B')")
        await page.keyboard.press("7")
        await until(lambda: now() == ("rim", None, 0))
        await page.get_by_role("button", name="Look B").click()
        await until(lambda: now() == ("key-left", (-55, 30), 0.5))
        await page.keyboard.press("b")
        await until(lambda: now() == ("rim", None, 0))


async def test_compare_and_wipe_show_the_original(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        shown, encoded = await frames_shown(page, "picture"), served.preview.encoded
        await new_frames(page, "picture", 10)
        encoded = served.preview.encoded - encoded
        shown = await frames_shown(page, "picture") - shown
        assert encoded < 1.5 * shown, "originals are encoded only when needed"
        await page.keyboard.down("c")
        await level_becomes(page, "picture", BRIGHT)
        await page.keyboard.up("c")
        await level_becomes(page, "picture", DIM)
        await page.locator("#compare").focus()
        for key in ("Enter", "Space"):
            await page.keyboard.down(key)
            await level_becomes(page, "picture", BRIGHT)
            await page.keyboard.up(key)
            await level_becomes(page, "picture", DIM)
        x, y = await centre(page, "#compare")
        await page.mouse.move(x, y)
        await page.mouse.down()
        await level_becomes(page, "picture", BRIGHT)
        await page.mouse.up()
        await level_becomes(page, "picture", DIM)

        for _ in range(4):  # held: the browser repeats it
            await page.keyboard.down("w")
        await page.keyboard.up("w")
        await see(page, "$('picture').dataset.shows === 'both'")
        assert await level_in(page, "picture", x=0.4) == BRIGHT
        assert await level_in(page, "picture", x=0.6) == DIM
        x, y = await centre(page, "#wipe")
        stage = await page.locator("#stage").bounding_box()
        await page.mouse.move(x, y)
        await page.mouse.down()
        await page.mouse.move(stage["x"] + 0.8 * stage["width"], y, steps=4)
        await page.mouse.up()
        assert await level_in(page, "picture", x=0.6) == BRIGHT
        assert await level_in(page, "picture", x=0.9) == DIM
        await page.locator("#wipe").focus()
        for key, value in (("Home", 0), ("PageUp", 20), ("End", 100), ("PageDown", 80)):
            await page.keyboard.press(key)
            assert await page.locator("#wipe").get_attribute("aria-valuenow") == str(value)
        await page.keyboard.press("w")
        await see(page, "$('picture').dataset.shows === 'relit'")
        assert served.store.current.id == 1, "comparing changes nothing for the virtual camera"


async def test_what_fails_is_said_and_the_image_goes_on(browser: Any) -> None:
    def maker(name: str) -> Relight:
        error = RuntimeError("its weights are missing") if name == "passthrough" else None
        return DimRelighter(error=error)

    async with running(maker) as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        banner = page.get_by_role("alert")
        assert not await banner.is_visible()
        await page.get_by_label("Engine").select_option("passthrough")
        await see(page, "$('state').dataset.state === 'degraded'")
        assert "its weights are missing" in await banner.inner_text()
        assert "choose another engine" in await banner.inner_text()
        await level_becomes(page, "picture", BRIGHT)
        await page.get_by_label("Engine").select_option("triplane")
        await level_becomes(page, "picture", DIM)
        await see(page, "$('banner').hidden && $('state').dataset.state === 'running'")


async def test_a_refused_change_is_said_long_enough_to_be_read(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        await see(page, "!$('engine').disabled")
        # a page of an older program may know engines that this one does not
        await page.evaluate("document.getElementById('engine').append(new Option('gone', 'gone'))")
        await page.get_by_label("Engine").select_option("gone")
        await see(page, "!$('notice').hidden")
        for value in (0.1, 0.2):  # new states do not wipe it away
            served.store.change({"fill": value})
            await see(page, f"$('control-fill').value === '{value}'")
        assert "no engine called" in await page.get_by_role("alert").inner_text()
        await see(page, "$('engine').value === 'triplane'")
        await see(page, "$('notice').hidden")


class KeepingCamera(KeepingSink):
    """Passes for a virtual camera."""

    kind = "virtual-camera"


async def test_the_panel_says_where_the_image_goes(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await see(page, "$('route').innerText.startsWith('scene → preview only')")
        assert "vcam doctor" in await page.locator("#route").inner_text()
    camera = KeepingCamera("virtual camera")
    async with running(sinks=(camera,)) as served, opened(browser, served.server.url) as page:
        await see(page, "$('route').innerText === 'scene → virtual camera'")


async def test_the_page_that_opens_the_panel(browser: Any) -> None:
    async with running() as served:
        with redirect_page(served.server.url) as file:
            async with opened(browser, file.as_uri()) as page:
                await page.wait_for_url(f"{served.server.origin}/**")
                await new_frames(page, "picture")


async def test_a_hidden_page_asks_for_no_frames(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        hide = """(hidden) => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
        await page.evaluate(hide, True)
        await until(lambda: not served.preview.has_consumers)
        await until(lambda: served.loop.status().state == "idle")
        await page.evaluate(hide, False)
        await new_frames(page, "picture")


async def test_a_broken_connection_is_made_again(browser: Any) -> None:
    keep = """window.WebSocket = class extends WebSocket {
        constructor(...given) { super(...given); window.socket = this; }
    }"""
    async with running() as served, opened(browser, served.server.url, keep) as page:
        await new_frames(page, "picture")
        await page.evaluate("window.socket.close()")
        await see(page, "!$('stage').classList.contains('live')")
        await new_frames(page, "picture")
        await page.get_by_role("button", name="Rim").click()
        await until(lambda: served.store.current.settings.preset == "rim")


async def test_a_lost_server_is_said_and_found_again(browser: Any) -> None:
    args = ("--source", "demo", "--sink", "none", "--engine", "passthrough", "--preset", "rim")
    with live(*args) as lost:
        port = lost.url.rpartition(":")[2]
        async with opened(browser, f"{lost.url}/#token={lost.token}") as page:
            await new_frames(page, "picture")
            lost.process.kill()
            await see(page, "$('state').dataset.state === 'lost'")
            assert "lost" in await page.get_by_role("alert").inner_text()
            await page.keyboard.press("4")
            chips = "[...document.querySelectorAll('.chip')]"
            pressed = f"{chips}.filter((chip) => chip.ariaPressed === 'true')"
            names = await page.evaluate(f"{pressed}.map((chip) => chip.dataset.preset)")
            assert names == ["rim"], "what cannot be sent is not shown as chosen"
            assert await page.evaluate(f"{chips}.every((chip) => chip.disabled)")
            assert await page.locator("#numbers").inner_text() == ""
            with live(*args, "--port", port) as again:
                assert again.token != lost.token
                await see(page, "$('state').dataset.state === 'refused'")
                assert "Open the link" in await page.get_by_role("alert").inner_text()
                async with page.expect_event("load"):  # a new link loads the page anew
                    await page.goto(f"{again.url}/#token={again.token}")
                await new_frames(page, "picture")


async def test_panels_agree(browser: Any) -> None:
    async with running() as served:
        url = served.server.url
        async with opened(browser, url) as one, opened(browser, url) as other:
            await see(one, "document.querySelector('[data-preset=rim]')")
            await see(other, "document.querySelector('[data-preset=rim]')")
            await one.get_by_role("button", name="Rim").click()
            await see(other, "document.querySelector('[data-preset=rim]').ariaPressed === 'true'")
            await see(other, "$('light').classList.contains('behind')")


async def test_the_end_of_the_program_is_said(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.url) as page:
        await new_frames(page, "picture")
        await served.server.stop()
        await see(page, "$('state').dataset.state === 'stopped'")
        await page.wait_for_timeout(1000)  # it has tried to come back meanwhile
        assert await page.locator("#state").inner_text() == "Stopped"
        assert "Start vcam again" in await page.get_by_role("alert").inner_text()


async def test_a_peer_page_without_the_token_says_what_to_do(browser: Any) -> None:
    async with running() as served, opened(browser, f"{served.server.origin}/peer") as page:
        await see(page, "$('state').dataset.state === 'refused'")
        banner = await page.get_by_role("alert").inner_text()
        assert "Open the link that vcam printed" in banner and "Browser camera" in banner


async def test_a_camera_that_leads_nowhere_is_turned_off(browser: Any) -> None:
    async with running() as served, opened(browser, served.server.peer_url) as page:
        await page.evaluate(
            """() => {
                const devices = navigator.mediaDevices;
                const open = devices.getUserMedia.bind(devices);
                devices.getUserMedia = async (wish) => (window.camera = await open(wish));
                window.RTCPeerConnection = function () { throw new Error("no WebRTC here"); };
            }"""
        )
        await page.get_by_role("button", name="Start camera").click()
        await see(page, "$('banner').innerText.includes('No WebRTC here')")
        await see(page, "window.camera.getTracks().every((track) => track.readyState === 'ended')")
        assert await page.locator("#start").inner_text() == "Start camera"


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_both_pages_fit_a_small_screen(browser: Any, scheme: str) -> None:
    async with running() as served:
        url, peer_url = served.server.url, served.server.peer_url
        async with opened(browser, url) as page, opened(browser, peer_url) as peer:
            for shown in (page, peer):
                await shown.set_viewport_size({"width": 360, "height": 740})
                await shown.emulate_media(color_scheme=scheme)
            await new_frames(page, "picture", 1)
            await peer.click("#start")
            await see(peer, "document.body.classList.contains('connected')")
            for shown in (page, peer):
                await shown.bring_to_front()
                assert await shown.evaluate("document.documentElement.scrollWidth") == 360
                await see(shown, f"document.documentElement.dataset.theme === '{scheme}'")
                await shown.click("#theme")
                other = "light" if scheme == "dark" else "dark"
                assert await shown.evaluate("document.documentElement.dataset.theme") == other
                await shown.evaluate("localStorage.clear()")
            # All that can be used can be reached with the keyboard, and shows where it is.
            reached = set()
            for _ in range(60):
                await page.keyboard.press("Tab")
                reached.add(await page.evaluate("document.activeElement.id"))
                if await page.evaluate("document.activeElement !== document.body"):
                    assert await page.evaluate("document.activeElement.matches(':focus-visible')")
            assert reached >= {"light", "compare", "wipe-toggle", "mirror", "engine", "theme"}
            assert reached >= {f"control-{name}" for name in ("intensity", "warmth", "fill")}


async def test_a_browsers_camera_comes_back_relit(browser: Any) -> None:
    async with running() as served:
        url = served.server.peer_url
        async with opened(browser, url) as page:
            await page.get_by_role("button", name="Start camera").click()
            await new_frames(page, "relit", 30)
            await see(page, "document.body.classList.contains('connected')")
            level = await level_in(page, "original")
            dim = pytest.approx(level * GAIN, abs=VP8_LEVEL)
            bright = pytest.approx(level, abs=VP8_LEVEL)
            await level_becomes(page, "relit", dim)
            await page.get_by_role("button", name="Off", exact=True).click()
            await level_becomes(page, "relit", bright)
            await page.keyboard.press("3")
            await level_becomes(page, "relit", dim)
            x, y = await centre(page, "#light")
            await page.mouse.move(x, y)
            await page.mouse.down()
            await page.mouse.move(x + 90, y, steps=4)
            await page.mouse.up()
            await see(page, "$('light').dataset.aim !== '-55 25' && $('aim').value")
            await page.get_by_label("Background").fill("0.5")
            await see(page, "$('control-background').previousSibling.value === '50 %'")
            await see(page, "$('numbers').innerText.includes('round trip')")
            numbers = await page.locator("#numbers").inner_text()
            assert "640 × 480" in numbers and "fps" in numbers, numbers
            assert served.store.current.id == 1, "a peer's controls are its own"
            assert len(served.sessions) == 2
            await page.get_by_role("button", name="Stop camera").click()
            await until(lambda: len(served.sessions) == 1)
            await page.get_by_role("button", name="Start camera").click()
            await new_frames(page, "relit", 5)
            await see(page, "$('state').dataset.state === 'running'")
            await page.goto("about:blank")  # pagehide closes the connection
            await until(lambda: len(served.sessions) == 1)


async def test_the_browser_is_the_camera_and_a_second_one_is_refused(browser: Any) -> None:
    async with running(peer=True) as served:
        url = served.server.peer_url
        async with opened(browser, url) as page, opened(browser, url) as second:
            await page.bring_to_front()
            await page.get_by_role("button", name="Start camera").click()
            await new_frames(page, "relit", 5)
            await second.bring_to_front()
            await second.get_by_role("button", name="Start camera").click()
            await see(second, "$('banner').innerText.includes('already the camera')")
            async with opened(browser, served.server.url) as panel:
                await new_frames(panel, "picture", 3)
                await panel.get_by_role("button", name="Off", exact=True).click()
                await page.bring_to_front()
                level = await level_in(page, "original")
                await level_becomes(page, "relit", pytest.approx(level, abs=VP8_LEVEL))
