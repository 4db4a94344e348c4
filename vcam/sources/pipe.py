"""A named pipe to read video from, without waiting for ever for who writes to it."""

import contextlib
import os
import select
import threading
import time
from pathlib import Path

from vcam_relight.vcam.core.errors import SourceError

_POLL_S = 0.1
_FIRST = 4096  # bytes


class PipeReader:
    """What `av.open` takes for a file: it has `read`, and cannot seek."""

    def __init__(self, path: Path, closed: threading.Event) -> None:
        """Opens the pipe, whether or not somebody writes to it.

        Args:
            path: a FIFO, or what `/dev/stdin` stands for.
            closed: once it is set, the pipe is at its end.

        Raises:
            OSError: it may not be read.
        """
        self.name = str(path)
        self.interruption: BaseException | None = None
        """What was raised while FFmpeg called `read`, through which nothing can be raised."""
        self._closed = closed
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else this waits for a writer
        self._begin = b""

    def wait(self, seconds: float) -> None:
        """Waits for the first bytes.

        Raises:
            SourceError: nobody has written any.
        """
        deadline = time.monotonic() + seconds
        while not self._begin and not self._closed.is_set():
            if time.monotonic() > deadline:
                raise SourceError(
                    f"nothing is written to {self.name}", "start what writes to it first"
                )
            self._begin = self._poll(_FIRST) or b""
            if not self._begin:
                time.sleep(_POLL_S)  # a pipe that no writer has opened is at its end

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        if self._begin:
            begin, self._begin = self._begin[:size], self._begin[size:]
            return begin
        try:
            while not self._closed.is_set():
                data = self._poll(size)
                if data is not None:
                    return data
        except BaseException as error:
            self.interruption = error
        return b""

    def close(self) -> None:
        """Lets go of the pipe."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _poll(self, size: int) -> bytes | None:
        """What is there; nothing at the end; None after a while without either."""
        readable, _, _ = select.select([self._file], [], [], _POLL_S)
        if readable:
            with contextlib.suppress(BlockingIOError):
                return os.read(self._file, size)
        return None
