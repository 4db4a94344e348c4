"""Another source while the program runs: what can be chosen, and the choice."""

import asyncio

from aiohttp import web

from vcam_relight.vcam.core.errors import UsageError, VcamError
from vcam_relight.vcam.core.frame import VideoMode
from vcam_relight.vcam.sources.choices import (
    RATES,
    SIZES,
    SourceChoice,
    choice_of,
    make_choice,
    source_choices,
)
from vcam_relight.vcam.stream.loop import FrameLoop
from vcam_relight.web.http import read_json
from vcam_relight.web.messages import MAX_MESSAGE, SourceInfo, SourcesState


class SourceControl:
    """Answers `GET` and `POST` of `/api/source` for one frame loop."""

    def __init__(self, loop: FrameLoop, mode: VideoMode) -> None:
        """Takes a loop, whose source is the first choice.

        Args:
            loop: not started yet.
            mode: what was asked of its source.
        """
        self._loop, self._mode = loop, mode
        self._first = loop.source
        self._lock = asyncio.Lock()

    async def show(self, request: web.Request) -> web.Response:
        """What there is, and what is chosen: a `SourcesState`."""
        return web.json_response(await asyncio.to_thread(self._state))

    async def choose(self, request: web.Request) -> web.Response:
        """Takes a `SourceWish`; answers once the new source gives pictures, or why it does not."""
        wish = await read_json(request, MAX_MESSAGE)
        try:
            name, mode = self._parsed(wish)
            async with self._lock:
                source = self._first
                if name != choice_of(self._first) or mode != self._mode:
                    source = await asyncio.to_thread(make_choice, name, mode)
                await asyncio.wrap_future(self._loop.switch(source))
                self._mode = mode
        except VcamError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(await asyncio.to_thread(self._state))

    def _state(self) -> SourcesState:
        found = source_choices()
        first = choice_of(self._first)
        if first == "":  # a file, say: it stays a choice
            found.insert(0, SourceChoice(first, self._first.label))
        return SourcesState(
            sources=[SourceInfo(source=one.source, label=one.label) for one in found],
            source=choice_of(self._loop.source),
            size=self._mode.size,
            fps=self._mode.fps,
            sizes=sorted({*SIZES, self._mode.size}),
            rates=sorted({*RATES, self._mode.fps}),
            fixed=self._loop.source.is_page,
        )

    def _parsed(self, wish: dict[str, object]) -> tuple[str, VideoMode]:
        if self._loop.source.is_page:
            raise UsageError("the picture comes from a browser", "start without --source peer")
        match wish:
            case {
                "source": str(name),
                "size": [int(width), int(height)],
                "fps": int(fps) | float(fps),
            }:
                if not isinstance(fps, bool):
                    mode = VideoMode((width, height), float(fps))
                    offered = mode.size in (*SIZES, self._mode.size)
                    if offered and mode.fps in (*RATES, self._mode.fps):
                        return name, mode
        raise UsageError("a choice has a source, and a size and frame rate of those offered")
