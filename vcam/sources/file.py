"""Files and network streams as a camera."""

import re
import threading
import time
from pathlib import Path

from vcam_relight.vcam.core.errors import SourceError
from vcam_relight.vcam.core.frame import TIME_BASE, Frame
from vcam_relight.vcam.sources.playback import DEFAULT_FPS, Player, play_file, play_url
from vcam_relight.vcam.sources.source import Source

_URL = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]+://)"
    r"([^/?#]*@)?"
    r"(?P<place>(\[[^][@/?#]*\]|[^][:@/?#]*)(:[0-9]*)?(/[^?#]*)?)"
    r"([?#].*)?",
    re.DOTALL,
)

_PATIENCE_S = 1.0  # FFmpeg cannot be woken while it waits for a server
_LATE_S = 0.5  # behind by more than this, the clock is set anew instead of hurrying


def is_url(text: str) -> bool:
    """Whether it names a network stream rather than a file."""
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text) is not None


class FileSource(Source):
    """A video file in a loop, a still image again and again, or a network stream.

    Files are played at their own pace. Frames have the file's own size; sinks fit them into
    theirs.
    """

    kind = "file"

    def __init__(self, path_or_url: str, fps: float = DEFAULT_FPS) -> None:
        """Opens nothing yet.

        Args:
            path_or_url: a file, or `http://`, `https://`, `rtsp://`, `rtmp://`, `udp://`, ….
            fps: frames per second of a still image; videos have their own.
        """
        self._name = path_or_url
        self._is_url = is_url(path_or_url)
        self._fps = fps
        self.can_pause = not self._is_url and Path(path_or_url).is_file()
        self.label = _without_secrets(path_or_url) if self._is_url else Path(path_or_url).name
        self._player: Player | None = None
        self._lock = threading.Lock()  # FFmpeg's objects die on their own thread, or not in use
        self._closed = threading.Event()
        self._origin: float | None = None
        self._base = 0.0  # media time at which the file was opened (again)
        self._last_pts = -1

    def open(self) -> None:
        """Opens the file or connects.

        Raises:
            SourceError: it is missing, damaged, holds no image, or the server does not answer.
        """
        with self._lock:
            self._closed.clear()
            if self._player is not None:
                return
            self._origin = None
            self._base = float((self._last_pts + 1) * TIME_BASE)
            if self._is_url:
                self._player = play_url(self._name, self.label, self._closed)
            else:
                self._player = play_file(Path(self._name), self._fps, self._closed)

    def read(self) -> Frame | None:
        """The next frame at the time it is due; None once `close` was called.

        Raises:
            SourceLost: the connection ended, or the file cannot be read on.
        """
        with self._lock:
            if self._player is None or self._closed.is_set():
                return None
            try:
                image, seconds = self._player.next()
            except SourceError:
                if not self._closed.is_set():
                    raise
            if self._closed.is_set():  # by who did not wait for the network
                self._close_player()
                return None
            paced = self._player.paced
        if paced and not self._wait_until(seconds):
            return None
        pts = max(round((self._base + seconds) / TIME_BASE), self._last_pts + 1)
        self._last_pts = pts
        return Frame(image, time.perf_counter(), pts)

    def close(self) -> None:
        """Ends a waiting `read`, closes the file; a second call does nothing."""
        self._closed.set()
        if self._lock.acquire(timeout=_PATIENCE_S):  # else `read` closes it
            try:
                self._close_player()
            finally:
                self._lock.release()

    def _close_player(self) -> None:
        if self._player is not None:
            self._player.close()
            self._player = None

    def _wait_until(self, seconds: float) -> bool:
        """Waits for media time `seconds`; False when closed meanwhile."""
        now = time.perf_counter()
        if self._origin is None or now - (self._origin + seconds) > _LATE_S:
            self._origin = now - seconds
        return not self._closed.wait(max(self._origin + seconds - now, 0.0))


def _without_secrets(url: str) -> str:
    """Scheme, host, port and path: no user, password, query or fragment, where tokens are."""
    match = _URL.fullmatch(url)
    if match is None:  # a password with / or ?, perhaps: nothing is safe to show
        return url.partition("://")[0] + "://…"
    return match["scheme"] + match["place"]
