"""Small files that users write: read whole, or refused in one line, whatever they are."""

import codecs
import os
import stat
from pathlib import Path

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, which Windows' editors and shells write."""


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is a folder, a pipe or a device, or larger.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    # A pipe would wait for its writer, and another file may take the name after a check.
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise ValueError(f"it is larger than {_readable(most)}")
    return content


def read_text(path: Path, most: int) -> str:
    """Text in UTF-8, or in what its byte order mark says.

    Raises:
        OSError: it cannot be read.
        ValueError: as `read_bytes`, or it is no text.
    """
    content = read_bytes(path, most)
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None


def brief(text: object, most: int = 200) -> str:
    """At most `most` characters, in one line, of a message that may quote a file's content."""
    words = " ".join(str(text).split())
    return words if len(words) <= most else words[: most - 1] + "…"


def _readable(size: int) -> str:
    return f"{size // 2**20} MiB" if size >= 2**20 else f"{size // 2**10} KiB"
