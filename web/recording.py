"""Recording begun and ended from the panel."""

import asyncio
import time
from pathlib import Path

import platformdirs
from aiohttp import web

from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.sinks.recorder import RecorderSink
from vcam_relight.vcam.stream.loop import FrameLoop
from vcam_relight.web.http import read_json
from vcam_relight.web.messages import MAX_MESSAGE, RecordingState


class RecordingControl:
    """Answers `POST /api/recording` for one frame loop."""

    def __init__(self, loop: FrameLoop, fps: float) -> None:
        """Records nothing yet.

        Args:
            loop: what is recorded; it may have a recorder already, which can be ended here.
            fps: nominal frames per second of the files.
        """
        self._loop, self._fps = loop, fps
        self._lock = asyncio.Lock()

    async def answer(self, request: web.Request) -> web.Response:
        """Begins or ends it as `on` of the body says; a `RecordingState`, or why not."""
        wish = (await read_json(request, MAX_MESSAGE)).get("on")
        if not isinstance(wish, bool):
            raise web.HTTPBadRequest(text="`on` is true or false")
        async with self._lock:
            try:
                path = await asyncio.to_thread(self._begin if wish else self._end)
            except (OSError, SinkError) as error:
                return web.json_response({"error": str(error)}, status=400)
        return web.json_response(RecordingState(on=wish, path=str(path or "")))

    def _begin(self) -> Path:
        """Where it is going to be."""
        folder = platformdirs.user_videos_path()
        path = folder / time.strftime("vcam-%Y-%m-%d-%H%M%S.mp4")
        if self._recorder() is None:
            folder.mkdir(parents=True, exist_ok=True)
            recorder = RecorderSink(path, self._fps)
            recorder.open()  # what cannot be written fails here
            self._loop.add(recorder)
        return path

    def _end(self) -> Path | None:
        """Where it is; None where nothing was recorded."""
        recorder = self._recorder()
        if recorder is None:
            return None
        problem = self._loop.remove(recorder)
        if problem:
            raise SinkError(problem)
        return recorder.saved

    def _recorder(self) -> RecorderSink | None:
        sinks = (runner.sink for runner in self._loop.runners)
        return next((sink for sink in sinks if isinstance(sink, RecorderSink)), None)
