"""A control is one field with its row: whatever shows, takes or keeps controls is made from it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import ROOT

from support.chromium import chromium, opened, require_chromium, see
from support.live_parts import running
from support.web_parts import until

PROGRAM = ("--source", "demo", "--sink", "none", "--engine", "passthrough")

FIELD = """\
    grain: float = _declare(
        Control(
            label="Grain",
            help="for a test",
            group="Blend",
            low=0.0,
            high=2.0,
            default=0.5,
        )
    )
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program in which `RelightSettings` has one more field."""
    root = tmp_path_factory.mktemp("copy") / "checkout"
    shutil.copytree(
        ROOT,
        root,
        symlinks=True,
        ignore=shutil.ignore_patterns(
            ".*", "__pycache__", "node_modules", "tests", "docs", "data", "lightstage", "*.pack.npz"
        ),
    )
    table = root / "pipeline" / "controls.py"
    text = table.read_text("utf-8")
    before = "    yaw: float = _declare("
    assert text.count(before) == 1
    table.write_text(text.replace(before, FIELD + before), "utf-8")
    return root


async def hello_of(url: str, token: str) -> dict[str, Any]:
    """What the panel is told first."""
    protocols = ("vcam", f"token.{token}")
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/ws", protocols=protocols) as panel,
    ):
        hello: dict[str, Any] = await panel.receive_json()
        return hello


@pytest.mark.parametrize("command", ["run", "image", "video"])
def test_a_new_field_is_an_option(checkout: Path, command: str) -> None:
    program = [sys.executable, checkout / "run_vcam.py", command, "--help"]
    text = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert "--grain 0..2" in text and "for a test" in text


async def test_a_new_field_is_in_messages_and_saved(checkout: Path, config_home: Path) -> None:
    with running(*PROGRAM, "--grain", "1.5", root=checkout) as live:
        hello = await hello_of(live.url, live.token)
        assert hello["controls"]["grain"]["label"] == "Grain"
        assert all(preset["settings"]["grain"] == 0.5 for preset in hello["presets"])
        assert live.ask("/api/state")["settings"]["grain"] == 1.5
        answer = live.ask("/api/settings", {"grain": 0.25})
        assert (answer["type"], answer["settings"]["grain"]) == ("ack", 0.25)
        assert live.stop()[0] == 0
    assert json.loads((config_home / "settings.json").read_text())["grain"] == 0.25

    with running(*PROGRAM, root=checkout) as again:
        assert again.ask("/api/state")["settings"]["grain"] == 0.25


async def test_a_new_field_is_a_slider(checkout: Path, tmp_path: Path) -> None:
    require_chromium()
    with running(*PROGRAM, root=checkout) as live:
        async with (
            chromium(tmp_path) as browser,
            opened(browser, f"{live.url}/#token={live.token}") as page,
        ):
            slider = page.get_by_role("group", name="Blend").get_by_label("Grain")
            await slider.fill("0.75")
            await until(lambda: live.ask("/api/state")["settings"]["grain"] == 0.75)
            await see(page, "$('control-grain').previousSibling.value === '75 %'")
            await slider.press("Delete")  # back to the preset's value
            await until(lambda: live.ask("/api/state")["settings"]["grain"] == 0.5)
