"""The picture behind people, given from the panel."""

import asyncio
import base64
import binascii
import tempfile
from pathlib import Path

from aiohttp import web

from vcam_relight.vcam.core.errors import InputError, VcamError
from vcam_relight.vcam.settings.store import SettingsStore
from vcam_relight.vcam.stream.backdrop_picture import keep_picture
from vcam_relight.web.http import read_json

MAX_PICTURE = 6 << 20
"""Bytes of a message with a picture; pages make theirs smaller before."""


class BackdropControl:
    """Answers `POST /api/backdrop` for one store of settings."""

    def __init__(self, settings: SettingsStore) -> None:
        self._settings = settings

    async def answer(self, request: web.Request) -> web.Response:
        """Takes `picture`, a file in base64, and shows it; or says why not."""
        text = (await read_json(request, MAX_PICTURE)).get("picture")
        try:
            if not isinstance(text, str):
                raise InputError("`picture` is a file in base64")
            await asyncio.to_thread(self._take, text)
        except VcamError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({})

    def _take(self, text: str) -> None:
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise InputError("`picture` is a file in base64") from None
        with tempfile.TemporaryDirectory(prefix="vcam-") as folder:
            file = Path(folder, "picture")
            file.write_bytes(data)
            self._settings.show_picture(keep_picture(file))
        self._settings.change({"backdrop": "picture"})
