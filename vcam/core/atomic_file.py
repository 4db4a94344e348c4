"""Output files that are either complete or not there."""

import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vcam_relight.vcam.core.errors import InputError

_NEW = 0o666  # of which the user's umask takes away


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a new empty file beside `path` (same suffix) to write to.

    On leaving the block the file takes the name `path` (or of what the link `path` points to); on
    an exception, Ctrl-C included, it is removed and what was at `path` stays.

    Raises:
        InputError: the file cannot be created or take its name.
    """
    with _refused(path):
        path = path.resolve()
        mode = _mode(path)
        temporary = create_part(path, mode or _NEW)
        if mode is not None:
            temporary.chmod(mode)
    try:
        yield temporary
        with _refused(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def create_part(path: Path, mode: int = _NEW) -> Path:
    """Creates an empty file for what will be `path`.

    It is `.NAME.part.EXT` beside it, or the first of `.NAME.part-2.EXT`, … that nobody has.

    Args:
        path: what the file will be called.
        mode: the most that anybody may do with the file, as for `os.open`.

    Raises:
        OSError: no such folder, or not allowed.
    """
    for part in _numbered(path.with_name(f".{path.stem}.part{path.suffix}")):
        with suppress(FileExistsError):
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
            return part
    raise AssertionError("numbers never end")


def _mode(path: Path) -> int | None:
    """The permissions of the file that is there, which the new one gets as well."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise RuntimeError("it is a folder or a device")
    return stat.S_IMODE(status.st_mode) & 0o777


def check_in_out(source: Path, target: Path, others: Sequence[Path] = ()) -> None:
    """Refuses pairs of files that cannot work before any work is done.

    Args:
        source: the input.
        target: the output.
        others: what is read besides, as the file of a light.

    Raises:
        InputError: the input is no file, the output's folder is missing, the output is a folder
            or one of the inputs.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist", "check the path")
    if not source.is_file():
        raise InputError(f"{source} is not a file", "give the path of a file")
    if target.is_dir():
        raise InputError(f"{target} is a folder", "give the output a file name")
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} does not exist", "create it first")
    if target.exists():
        if target.samefile(source):
            raise InputError("IN and OUT are the same file", "give the output another name")
        for other in others:
            if other.exists() and target.samefile(other):
                raise InputError(f"OUT is the input {other}", "give the output another name")


def free_name(path: Path) -> Path:
    """`path`, or the first of `name-2`, `name-3`, … that does not exist."""
    return next(name for name in _numbered(path) if not name.exists())


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:  # links in a circle are one, before Python 3.13
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be written ({why})", "choose another place") from None
