"""Builds C++ libraries once a machine, and loads them."""

import hashlib
import os
import platform
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import platformdirs
from filelock import FileLock

T = TypeVar("T")

BUILD_ERRORS = (RuntimeError, OSError, ImportError, subprocess.SubprocessError)
"""What `load_library` raises where a library cannot be built or loaded."""
HINT = (
    "install a C++ compiler (Debian: apt install g++; macOS: xcode-select --install), and see that "
    "the folder of built kernels can be written (TORCH_EXTENSIONS_DIR)"
)
"""What users can do about these."""
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

    Libraries lie in the user's cache folder, or in `TORCH_EXTENSIONS_DIR`. Processes that ask at
    the same time wait for one another.

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
    folder.mkdir(parents=True, exist_ok=True)
    library, complete = folder / f"{name}.so", folder / "complete"  # dlopen asks for no suffix
    with FileLock(folder / "vcam.lock"):
        if complete.exists():
            try:
                return load(library)
            except OSError:  # damaged, or of a system that has changed
                complete.unlink()
                library.unlink(missing_ok=True)
        build(library)
        loaded = load(library)
        complete.touch()
        return loaded


def compile_library(files: Sequence[Path], flags: Sequence[str], library: Path) -> None:
    """Compiles a library that needs nothing but C++'s own, with `CXX` or `c++`.

    Raises:
        FileNotFoundError: there is no compiler.
        RuntimeError: it refuses; what it says is the message.
    """
    compiler = shlex.split(os.environ.get("CXX") or "c++")  # as torch chooses
    paths = [str(library), *map(str, files)]
    command = [*compiler, "-std=c++17", "-shared", "-fPIC", *flags, "-o", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(done.stderr or f"{compiler[0]} ended with {done.returncode}")


def _folder() -> Path:
    named = os.environ.get("TORCH_EXTENSIONS_DIR")
    return Path(named) if named else platformdirs.user_cache_path("vcam", appauthor=False)
