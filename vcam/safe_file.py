"""Output files that are either complete or not there."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vcam.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside `path` (same suffix) to write to.

    On leaving the block the file takes the name `path`; on an exception, Ctrl-C included, it is
    removed and what was at `path` stays.
    """
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_in_out(source: Path, target: Path) -> None:
    """Refuses pairs of files that cannot work before any work is done.

    Raises:
        InputError: the input is no file, the output's folder is missing, the output is a folder
            or the input itself.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist", "check the path")
    if not source.is_file():
        raise InputError(f"{source} is not a file", "give the path of a file")
    if target.is_dir():
        raise InputError(f"{target} is a folder", "give the output a file name")
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} does not exist", "create it first")
    if target.exists() and target.samefile(source):
        raise InputError("IN and OUT are the same file", "give the output another name")


def free_name(path: Path) -> Path:
    """`path`, or the first of `name-2`, `name-3`, … that does not exist."""
    if not path.exists():
        return path
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(name for name in names if not name.exists())
