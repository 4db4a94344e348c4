"""Builds C++ libraries once a machine, and loads them where nobody else can have changed them."""

import hashlib
import logging
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import cv2
import platformdirs
from filelock import FileLock

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

BUILD_ERRORS = (RuntimeError, OSError, ImportError, subprocess.SubprocessError)
"""What `load_library` raises where a library cannot be built or loaded."""
_HINT = (
    "install a C++ compiler (Debian: apt install g++; macOS: xcode-select --install), and see that "
    "the folder of built kernels can be written, by you alone (TORCH_EXTENSIONS_DIR)"
)
_AVX2, _FMA = 11, 12
"""OpenCV's numbers of the CPU's abilities (`cv::CpuFeatures`)."""


def sources(*names: str) -> list[Path]:
    """C++ files beside this module."""
    return [Path(__file__).with_name(name) for name in names]


def cpu_flags() -> list[str]:
    """For the compiler: optimised for what this CPU has."""
    wide = cv2.checkHardwareSupport(_AVX2) and cv2.checkHardwareSupport(_FMA)
    return ["-O3", "-fno-math-errno", *(["-mavx2", "-mfma"] if wide else [])]


def load_library(
    name: str,
    files: Sequence[Path],
    flags: Sequence[str],
    build: Callable[[Path], None],
    load: Callable[[Path], T],
) -> T:
    """Loads a library, built before unless this CPU, program and compiler flags have theirs.

    Libraries lie in the user's cache folder, or in `TORCH_EXTENSIONS_DIR`. What others may have
    written is not loaded: such a folder is refused, such a library built again. Processes that ask
    at the same time wait for one another.

    Args:
        name: of the library.
        files: all that it is made of, headers included.
        flags: anything else that it depends on.
        build: writes the library to the path that it is given.
        load: opens it; OSError for one that is damaged.

    Raises:
        Exception: one of `BUILD_ERRORS`.
    """
    content = b"".join(path.read_bytes() for path in files)
    made_of = content + repr((platform.machine(), *flags)).encode()
    folder = _folder() / f"{name}_{hashlib.sha256(made_of).hexdigest()[:12]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(folder)
    library, complete = folder / f"{name}.so", folder / "complete"  # dlopen asks for no suffix
    lock = folder / "vcam.lock"
    with FileLock(lock):
        if complete.exists():
            try:
                if _is_ours(library):
                    return load(library)
            except OSError:  # missing, damaged, or of a system that has changed
                pass
            for path in folder.iterdir():  # what it was linked from too
                if path != lock:
                    path.unlink()
        build(library)
        library.chmod(0o700)  # whatever the user's umask
        loaded = load(library)
        complete.touch()
        return loaded


def compile_library(files: Sequence[Path], flags: Sequence[str], library: Path) -> None:
    """Compiles a library that needs nothing but C++'s own, with `CXX` or `c++`.

    Raises:
        FileNotFoundError: there is no compiler.
        RuntimeError: it refuses; what it says is the message.
    """
    compiler = find_compiler()
    paths = [str(library), *map(str, files)]
    command = [*compiler, "-std=c++17", "-shared", "-fPIC", *flags, "-o", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(done.stderr or f"{compiler[0]} ended with {done.returncode}")


def find_compiler() -> list[str]:
    """The command of the C++ compiler, as torch chooses it.

    Raises:
        FileNotFoundError: it is not installed.
    """
    compiler = shlex.split(os.environ.get("CXX") or "c++")
    if shutil.which(compiler[0]) is None:
        raise FileNotFoundError(f"there is no {compiler[0]}")
    return compiler


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
    named = os.environ.get("TORCH_EXTENSIONS_DIR")
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
