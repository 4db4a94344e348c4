"""`vcam mcp`: lets an assistant set the light, by the Model Context Protocol over stdin and stdout.

It is one more way to the program that runs, over its user's socket, and can do what `vcam set`,
`get` and `next` can.
"""

import argparse
import asyncio
from typing import Any

from vcam_relight.vcam.cli.remote import ask
from vcam_relight.vcam.core.errors import VcamError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(args: argparse.Namespace) -> int:
    """Serves until its client ends; returns 0.

    Raises:
        VcamError: the package `mcp` is missing.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as error:
        raise VcamError(
            f"this needs the package mcp ({error})", "pip install 'vcam-relight[mcp]'"
        ) from None
    server = MCPServer("vcam", instructions="Sets the light of the webcam filter vcam, which runs.")

    async def asked(method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(ask, method, path, body)
        except VcamError as error:  # other errors' words are not passed on
            raise ToolError(str(error)) from None

    @server.tool()
    async def get() -> dict[str, Any]:
        """How the camera filter is set, and how it fares: settings, source, frame rate."""
        return await asked("GET", "/state")

    @server.tool()
    async def presets() -> dict[str, str]:
        """The lights that `preset` may name, with their titles."""
        return await asyncio.to_thread(_presets)

    @server.tool(name="set")
    async def change(changes: dict[str, Any]) -> dict[str, Any]:
        """Changes settings at once or not at all, such as {"preset": "rim", "intensity": 1.2}.

        Names and ranges are those of `get`'s settings; errors say what is wrong.
        """
        return await asked("POST", "/settings", changes)

    @server.tool(name="next")
    async def next_preset() -> dict[str, Any]:
        """Switches to the next preset."""
        return await asked("POST", "/next", {})

    server.run("stdio")
    return 0


def _presets() -> dict[str, str]:
    from vcam_relight.pipeline.lighting.presets import load_presets
    from vcam_relight.vcam.settings.persistence import presets_folder

    return {name: preset.title for name, preset in load_presets(presets_folder())[0].items()}
