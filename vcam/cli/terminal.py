"""What the user sees on the terminal: log lines, and none of the native libraries' chatter."""

import faulthandler
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from vcam_relight.vcam.core.log_context import current_session

OWN_LOGGERS = ("vcam_relight",)
LogFormat = Literal["text", "json"]


class _OneLine(logging.Formatter):
    """Like the errors, `vcam: message`, with an exception's type and words: a trace is for -v."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            text += f": {type(error).__name__}: {error}"
        return one_line(text)


class _JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII, for what collects logs.

    `time` (UTC, RFC 3339), `level`, `logger` and `message`; `session` where a session's thread or
    task wrote it, `exception` with its trace where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if session := current_session():
            fields["session"] = session
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def one_line(text: object) -> str:
    """A message of this program: `vcam: …`, harmless to a terminal."""
    return "vcam: " + printable(" ".join(str(text).split()))


def printable(text: object) -> str:
    """The text with escapes in place of what a terminal would obey: names come from anywhere."""
    return "".join(
        char
        if char.isprintable() or char == "\n"
        else char.encode("unicode_escape").decode("ascii")
        for char in str(text)
    )


def ending_signals() -> list[signal.Signals]:
    """What asks the program to end: SIGTERM, and a terminal that closes unless `nohup` forbids."""
    found = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        found.append(signal.SIGHUP)
    return [number for number in found if signal.getsignal(number) is not signal.SIG_IGN]


def set_up_logging(verbose: bool, log_format: LogFormat = "text") -> None:
    """Log lines go to stderr: our own from INFO up, other libraries' errors; all when verbose."""
    handler = logging.StreamHandler(sys.stderr)
    detailed = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    lines = detailed if verbose else _OneLine()
    handler.setFormatter(_JsonLines() if log_format == "json" else lines)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if verbose else logging.ERROR)
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)
    # It logs an error for each connection that speaks no HTTP.
    logging.getLogger("aiohttp.server").setLevel(logging.NOTSET if verbose else logging.CRITICAL)
    logging.captureWarnings(True)  # Python warnings follow the same levels


@contextmanager
def quiet_native_libraries() -> Iterator[None]:
    """Sends what C and C++ write to file descriptor 2 to nowhere; Python's stderr still shows.

    TFLite, OpenCV and libav each log there on their own terms; crashes are still reported,
    through faulthandler. Does nothing where Python's stderr is not the process's (under pytest).
    """
    try:
        is_the_terminal = sys.stderr is not None and sys.stderr.fileno() == 2
    except (OSError, ValueError):
        is_the_terminal = False
    if not is_the_terminal:
        yield
        return
    shown = sys.stderr
    shown.flush()
    saved = os.dup(2)
    with (
        open(os.devnull, "wb") as nowhere,  # noqa: PTH123 (not a path of ours)
        open(saved, "w", buffering=1, encoding=shown.encoding, errors="backslashreplace") as kept,  # noqa: PTH123 (a descriptor)
    ):
        os.dup2(nowhere.fileno(), 2)
        faulthandler.enable(kept)
        sys.stderr = kept
        try:
            yield
        finally:
            kept.flush()
            faulthandler.disable()
            os.dup2(saved, 2)
            sys.stderr = shown


def progress_bar(title: str, unit: str, total: int | None = None) -> Any:
    """A tqdm progress bar on stderr, plain and rarely drawn where that is no terminal.

    Args:
        title: what is being made.
        unit: what is counted, with a space before it.
        total: how many there will be; None: not known yet.
    """
    from tqdm import tqdm  # not needed for help

    terminal = sys.stderr.isatty()
    return tqdm(
        desc=printable(title),
        unit=unit,
        total=total,
        file=sys.stderr,
        ascii=not terminal,
        mininterval=0.2 if terminal else 5.0,  # a log file needs fewer lines
        dynamic_ncols=terminal,
    )
