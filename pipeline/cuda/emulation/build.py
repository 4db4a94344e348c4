"""Builds the emulation: a driver's library with all kernels in it."""

import ctypes
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.cuda.driver import CudaError, Driver
from vcam_relight.pipeline.cuda.sources import (
    FOLDER,
    KernelSource,
    fingerprint,
    headers,
    kernel_files,
)
from vcam_relight.pipeline.native.build import BUILD_ERRORS, load_library
from vcam_relight.pipeline.native.compiler import FOLDER as _NATIVE
from vcam_relight.pipeline.native.compiler import find_compiler

_HERE = Path(__file__).parent
_FLAGS = ("-std=c++20", "-O2", "-U_FORTIFY_SOURCE", "-fPIC", "-shared", "-pthread")
"""The last checks of glibc take jumps between fibers for an attack."""
_HALVES = ("-mavx2", "-mfma", "-mf16c")


@cache
def emulated_card() -> Card:
    """The emulation of this process, built on its first use, once a machine.

    Raises:
        CudaError: it cannot be built, or this processor cannot run it.
    """
    return card_by(emulation())


def card_by(library: ctypes.CDLL) -> Card:
    """The card that an emulation, which was built, makes of the CPU."""
    return Card(Driver(library), _nothing)


def set_order(order: int) -> None:
    """In which order the threads of a block have their turns from now on.

    Args:
        order: 0 as they are numbered, 1 backwards, 2 shuffled; others shuffled, each in its own
            way, and one warp after the other goes as far as it can.
    """
    emulation().emulation_order(ctypes.c_int(order))


@cache
def emulation() -> ctypes.CDLL:
    """The library of this process; raises as `emulated_card` does."""
    try:
        content = [path.read_bytes() for path in _sources()]
        name = f"emulated_{fingerprint(content, headers(), _flags())}.so"
        return load_library(name, build, lambda path: ctypes.CDLL(str(path)))
    except BUILD_ERRORS as error:
        raise CudaError(f"the emulation cannot be built ({error})") from error


def build(library: Path, kernels: Sequence[Path] = (), more_flags: Sequence[str] = ()) -> None:
    """Builds it.

    Args:
        library: the file to be written.
        kernels: their sources; all of the program's where none are named.
        more_flags: of the compiler.

    Raises:
        RuntimeError: the compiler refuses; FileNotFoundError: there is none.
    """
    paths = [str(_HERE / "driver.cpp"), "-x", "c++", *map(str, kernels or kernel_files())]
    folders = [f"-I{folder}" for folder in (_HERE, FOLDER, _NATIVE)]
    command = [*find_compiler(), *_flags(), *more_flags, *folders, "-o", str(library), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise RuntimeError((errors or [done.stderr])[0])


def _flags() -> tuple[str, ...]:
    return _FLAGS + (_HALVES if platform.machine().lower() in ("x86_64", "amd64") else ())


def _sources() -> list[Path]:
    return [*sorted(_HERE.glob("*.[ch]*")), *kernel_files()]


def _nothing(source: KernelSource, capability: tuple[int, int]) -> bytes:
    """Kernels are in the library already."""
    return b""
