"""Other programs' ways to the light, OSC and the Model Context Protocol, with real clients."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from support.web_parts import running, until

ROOT = Path(__file__).parents[2]


async def test_faders_and_buttons_set_the_light_by_osc() -> None:
    client_of = pytest.importorskip("pythonosc.udp_client")
    async with running(osc=0) as served:
        client = client_of.SimpleUDPClient("127.0.0.1", served.server.osc.port)
        client.send_message("/vcam/intensity", 1.25)
        await until(lambda: served.store.current.settings.relight.intensity == 1.25)
        client.send_message("/vcam/preset", "rim")
        await until(lambda: served.store.current.settings.preset == "rim")
        client.send_message("/vcam/aim", [-40.0, 20.0])
        await until(lambda: served.store.current.settings.aim == (-40.0, 20.0))
        client.send_message("/vcam/mirror", 1)
        await until(lambda: served.store.current.settings.mirror)
        before = served.store.current.id
        for address, value in (
            ("/vcam/intensity", 99.0), ("/vcam/intensity", "loud"), ("/vcam/nothing", 1),
            ("/other/intensity", 1.0), ("/vcam/next", 0),
        ):  # fmt: skip
            client.send_message(address, value)
        client._sock.sendto(b"no OSC at all", ("127.0.0.1", served.server.osc.port))
        names = list(served.store.presets)
        following = names[(names.index("rim") + 1) % len(names)]
        client.send_message("/vcam/next", 1)
        await until(lambda: served.store.current.settings.preset == following)
        assert served.store.current.id == before + 1, "what makes no sense changes nothing"
        client.send_message("/vcam/get", "mirror")
        (answer,) = await asyncio.to_thread(lambda: list(client.get_messages(5)))
        assert (answer.address, answer.params) == ("/vcam/mirror", [True])


async def test_an_assistant_sets_the_light(tmp_path: Path) -> None:
    pytest.importorskip("mcp")
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    path = tmp_path / "run" / "control.sock"
    places = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environ = dict(os.environ) | {"VCAM_CONTROL": str(path), "PYTHONPATH": places}
    parameters = StdioServerParameters(
        command=sys.executable, args=["-P", "-m", "vcam_relight", "mcp"], env=environ
    )
    async with (
        running(commands=path) as served,
        stdio_client(parameters) as (read, write),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert tools == {"get", "set", "next", "presets"}
        await session.call_tool("set", {"changes": {"preset": "rim", "intensity": 1.5}})
        settings = served.store.current.settings
        assert (settings.preset, settings.relight.intensity) == ("rim", 1.5)
        told = await session.call_tool("get", {})
        assert '"preset": "rim"' in str(told) or "'preset': 'rim'" in str(told)
        wrong = await session.call_tool("set", {"changes": {"intensity": 99}})
        assert wrong.is_error and "intensity" in str(wrong)
        await session.call_tool("next", {})
        assert served.store.current.settings.preset != "rim"
