"""The sources of the kernels, and what each kernel takes."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from vcam_relight.pipeline.native.compiler import FOLDER as _NATIVE

FOLDER = Path(__file__).parent / "kernels"

_ELEMENTS = {
    "Byte": np.uint8, "short": np.int16, "int": np.int32, "unsigned": np.uint32,
    "Half": np.float16, "Half2": np.float16, "uint2": np.float16, "uint4": np.float16,
    "float": np.float32, "float4": np.float32,
}  # fmt: skip
"""C type behind a pointer -> type of the array that is passed; halves go in twos and more."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of a kernel."""

    name: str
    array: np.dtype | None
    """Type of the array's elements; None for a number."""
    whole: bool
    """Whether a number is an int; else it is a float."""


@dataclass(frozen=True, slots=True)
class KernelSource:
    """Where a kernel is, and what it takes."""

    path: Path
    parameters: tuple[Parameter, ...]


def kernel_files() -> list[Path]:
    """All `.cu` files, in order."""
    return sorted(FOLDER.glob("*.cu"))


@cache
def kernel_sources() -> dict[str, KernelSource]:
    """Name -> a kernel, of all files."""
    found = {}
    for path in kernel_files():
        text = path.read_text("utf-8")
        for name, listed in re.findall(r"__launch_bounds__\(\d+\)\s+(\w+)\(([^)]*)\)", text):
            found[name] = KernelSource(path, tuple(map(_parameter, listed.split(","))))
    return found


def headers() -> dict[str, str]:
    """Name -> content of what the files include on a card."""
    own, shared = FOLDER / "device.h", _NATIVE / "pixel.h"
    return {path.name: path.read_text("utf-8") for path in (own, shared)}


def fingerprint(*parts: object) -> str:
    """Twelve hexadecimal digits that change with any of the parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _parameter(text: str) -> Parameter:
    """Raises KeyError for a type that nothing can be passed for."""
    words = text.replace("*", " * ").replace("__restrict__", "").replace("const", "").split()
    kind, name = words[0], words[-1]
    if "*" in words:
        return Parameter(name, np.dtype(_ELEMENTS[kind]), whole=False)
    return Parameter(name, None, whole={"int": True, "float": False}[kind])
