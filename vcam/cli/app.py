"""Runs a frame loop beside its panel, until the stream ends, the time is over or a signal comes."""

import asyncio
import contextlib
import html
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vcam_relight.vcam.cli.terminal import ending_signals
from vcam_relight.vcam.stream.session import Session, SessionManager
from vcam_relight.web.server import WebServer

log = logging.getLogger(__name__)

POLL_S = 0.1
"""How soon the end of the stream is noticed."""


@dataclass(frozen=True, slots=True)
class Live:
    """What runs together."""

    sessions: SessionManager
    main: Session
    make_server: Callable[[], WebServer]
    """Called on the event loop."""
    seconds: float | None
    """When to stop by itself."""
    browser: bool
    """Whether the panel is opened in the user's browser."""


async def serve(live: Live) -> float:
    """Starts everything, waits for the end, stops everything; returns the seconds it ran.

    Sockets stay on this event loop, pixels on the frame loop's threads.

    Raises:
        VcamError: the panel's address cannot be used.
    """
    stop = asyncio.Event()
    with ending(stop), contextlib.ExitStack() as stack:
        server = live.make_server()
        try:
            await server.start()
            print(f"panel: {server.url}", flush=True)
            if live.main.loop.source.is_page:
                print(f"peer: {server.peer_url}", flush=True)
            live.main.loop.start()
            begin = time.perf_counter()
            try:
                if live.browser and _has_screen():
                    _open_browser(server.url, stack)
                await _until_end(live, stop)
            finally:
                elapsed = time.perf_counter() - begin
                await asyncio.to_thread(live.sessions.stop, live.main)  # joins threads
        finally:
            await server.stop()
    return elapsed


def _open_browser(url: str, stack: contextlib.ExitStack) -> None:
    try:
        page = stack.enter_context(redirect_page(url))
    except OSError as error:
        log.warning("the browser is not opened (%s): open the link above", error)
        return

    def show() -> None:
        with contextlib.suppress(webbrowser.Error):  # the link is in the terminal all the same
            webbrowser.open(page.as_uri())

    # Some browsers return only when they are closed: nobody waits for this thread.
    threading.Thread(target=show, name="browser", daemon=True).start()


@contextlib.contextmanager
def redirect_page(url: str) -> Iterator[Path]:
    """A page that only this user can read and that leads to `url`; it is removed at the end.

    A browser's command line can be read by every user of the machine, so the token must not
    be on it.
    """
    # Browsers from snap packages (Ubuntu's) see neither /tmp nor hidden folders.
    base = Path.home() if Path("/snap").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="vcam-", dir=base) as folder:  # mode 0700
        page = Path(folder) / "panel.html"
        page.touch(mode=0o600)
        target = html.escape(url)
        page.write_text(
            "<!doctype html><meta charset=utf-8><title>vcam relight</title>"
            f'<meta http-equiv="refresh" content="0; url={target}">'
            f'<a href="{target}">Open the panel</a>\n'
        )
        yield page


async def _until_end(live: Live, stop: asyncio.Event) -> None:
    now = asyncio.get_running_loop().time
    end = None if live.seconds is None else now() + live.seconds
    while not live.main.loop.finished.is_set() and not (end is not None and now() >= end):
        pause = POLL_S if end is None else min(POLL_S, max(end - now(), 0.0))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
            return


@contextlib.contextmanager
def ending(stop: asyncio.Event) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP set `stop`; a second one interrupts the program at once."""
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGINT, *ending_signals()]
    previous = {number: signal.getsignal(number) for number in numbers}

    def put_back() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def ask(*_: object) -> None:
        put_back()
        loop.call_soon_threadsafe(stop.set)

    for number in previous:
        signal.signal(number, ask)
    try:
        yield
    finally:
        put_back()


def _has_screen() -> bool:
    """Without one, Python's `webbrowser` would start a text browser in this terminal."""
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
