"""The library of kernels: as it was installed, else built on first use."""

import contextlib
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2

from vcam_relight.pipeline.native.build import BUILD_ERRORS, load_library, warn_of
from vcam_relight.pipeline.native.compiler import (
    FOLDER,
    compile_kernels,
    library_name,
    variants,
)

_ABILITIES = {"avx512": (256,), "avx2": (11, 12), "base": ()}
"""OpenCV's numbers of what a processor must have for a variant (`cv::CpuFeatures`)."""


@dataclass(frozen=True, slots=True)
class KernelLibrary:
    """The kernels that run here."""

    functions: ctypes.CDLL
    """Calls let other Python threads run meanwhile."""
    variant: str
    """Of the processor, see `variants`."""
    installed: bool
    """Whether it came with the program, or was built on first use."""


@cache
def kernel_library() -> KernelLibrary | None:
    """The kernels, or None, with a warning, where there are none.

    A library that was installed is used if it was made of the sources that are there. Otherwise the
    first call builds one, once a machine, which takes some seconds.
    """
    for variant in runnable_variants():
        path = FOLDER / library_name(variant)
        if path.exists():
            with contextlib.suppress(OSError):  # damaged, or for another system
                return KernelLibrary(ctypes.CDLL(str(path)), variant, installed=True)
    fastest = next(runnable_variants())

    def build(path: Path) -> None:
        compile_kernels(fastest, path)

    try:
        library = load_library(library_name(fastest), build, lambda path: ctypes.CDLL(str(path)))
    except BUILD_ERRORS as error:
        warn_of(error)
        return None
    return KernelLibrary(library, fastest, installed=False)


def runnable_variants() -> Iterator[str]:
    """Those that this processor runs, the fastest first."""
    for variant in variants():
        if all(cv2.checkHardwareSupport(ability) for ability in _ABILITIES[variant]):
            yield variant
