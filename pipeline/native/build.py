"""Builds C++ libraries once a machine, and loads them where nobody else can have changed them."""

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import platformdirs
from filelock import FileLock

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

BUILD_ERRORS = (RuntimeError, OSError, ImportError, subprocess.SubprocessError)
"""What `load_library` raises where a library cannot be built or loaded."""
_HINT = (
    "install a C++ compiler (Debian: apt install g++; macOS: xcode-select --install), and see that "
    "the folder of built kernels can be written, by you alone (VCAM_KERNELS_DIR)"
)


def load_library(name: str, build: Callable[[Path], None], load: Callable[[Path], T]) -> T:
    """Loads a library that was built before, or builds it.

    Libraries lie in the user's cache folder, or in `VCAM_KERNELS_DIR`. What others may have written
    is not loaded: such a folder is refused, such a library built again. Processes that ask at the
    same time wait for one another.

    Args:
        name: of the file, which tells all that the library is made of.
        build: writes the library to the path that it is given.
        load: opens it; OSError for one that is damaged.

    Raises:
        Exception: one of `BUILD_ERRORS`.
    """
    folder = _folder() / Path(name).stem
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(folder)
    library, complete = folder / name, folder / "complete"
    lock = folder / "vcam.lock"
    with FileLock(lock):
        if complete.exists():
            try:
                if _is_ours(library):
                    return load(library)
            except OSError:  # missing, damaged, or of a system that has changed
                pass
            for path in folder.iterdir():
                if path != lock:
                    path.unlink()
        build(library)
        library.chmod(0o700)  # whatever the user's umask
        loaded = load(library)
        complete.touch()
        return loaded


def warn_of(error: Exception) -> None:
    """Warns that kernels are missing; once, where several are missing for the same reason.

    Args:
        error: what `load_library` raised.
    """
    _warn_because(str(error).splitlines()[0])


@cache
def _warn_because(reason: str) -> None:
    _LOG.warning(
        "relighting is slower without its kernels in C++, which could not be built (%s): %s",
        reason,
        _HINT,
    )


def _folder() -> Path:
    named = os.environ.get("VCAM_KERNELS_DIR")
    folder = Path(named) if named else platformdirs.user_cache_path("vcam", appauthor=False)
    return folder.resolve()


def _check_folder(folder: Path) -> None:
    """Raises RuntimeError where others may write to a folder, or put another in its place."""
    exchangeable = (path for path in folder.parents if _others_may_rename_in(path))
    if not _is_ours(folder):
        raise RuntimeError(f"{folder} is another user's, or others may write to it: remove it")
    if (parent := next(exchangeable, None)) is not None:
        raise RuntimeError(f"anybody may exchange what is in {parent}")


def _is_ours(path: Path) -> bool:
    """Whether only this user and root may change what is there; OSError where nothing is."""
    about = path.lstat()
    if sys.platform == "win32":
        return True  # a profile's folders are its user's, and modes say nothing
    link, others = stat.S_ISLNK(about.st_mode), about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return about.st_uid in (0, os.geteuid()) and not link and not others


def _others_may_rename_in(folder: Path) -> bool:
    if sys.platform == "win32":
        return False
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX
