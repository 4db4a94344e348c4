"""NVRTC, NVIDIA's compiler of CUDA C++ for the machine at hand: where it is, and how it is used.

The package `nvidia-cuda-nvrtc` has it, and CUDA builds of torch bring it along. It needs neither a
card nor a toolkit.
"""

import ctypes
import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vcam_relight.pipeline.cuda.driver import CudaError

LEAST_CAPABILITY = (7, 5)
"""Of the cards that kernels are made for: tensor cores by `mma.sync` with halves."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What NVRTC makes of a source."""

    code: bytes
    """Machine code, or PTX for a card that this NVRTC does not know."""
    log: str
    """What it says of registers and memory."""


@dataclass(frozen=True, slots=True)
class KernelResources:
    """What a kernel takes of a multiprocessor, as the compiler says."""

    name: str
    registers: int
    """Of each thread."""
    spilled: int
    """Bytes of each thread that found no place in registers."""
    stack: int
    """Bytes of each thread."""
    shared: int
    """Bytes of each block."""


class Nvrtc:
    """One NVRTC; safe from any thread."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)

    def architectures(self) -> list[int]:
        """Compute capabilities that it makes machine code for, as 75 for 7.5, in order."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        found = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", found)
        return list(found)

    def compile(self, name: str, source: str, headers: dict[str, str], capability: int) -> Compiled:
        """Compiles a source.

        Args:
            name: of the source, for messages.
            source: CUDA C++.
            headers: name -> content of what it includes.
            capability: of the card, as 75 for 7.5.

        Raises:
            CudaError: the compiler refuses it; the first line of what it says is in the message.
        """
        known = self.architectures()
        native = capability in known
        # A driver takes PTX of an NVRTC that is older than itself, and makes machine code of it.
        target = capability if native else max(one for one in known if one < capability)
        options = (
            f"--gpu-architecture={'sm' if native else 'compute'}_{target}",
            "--std=c++17", "--ptxas-options=-v",
        )  # fmt: skip
        program = ctypes.c_void_p()
        texts = (ctypes.c_char_p * len(headers))(*(text.encode() for text in headers.values()))
        names = (ctypes.c_char_p * len(headers))(*(header.encode() for header in headers))
        self._call(
            "nvrtcCreateProgram", ctypes.byref(program), source.encode(), name.encode(),
            len(headers), texts, names,
        )  # fmt: skip
        try:
            passed = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            failed = self._library.nvrtcCompileProgram(program, len(options), passed)
            log = self._read(program, "ProgramLog").rstrip(b"\0").decode("utf-8", "replace")
            if failed:
                lines = [line for line in log.splitlines() if "error" in line] or [log]
                raise CudaError(f"NVRTC refuses {name}: {lines[0]}")
            return Compiled(self._read(program, "CUBIN" if native else "PTX"), log)
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, text)
        return text.raw

    def _call(self, name: str, *arguments: object) -> None:
        result = getattr(self._library, name)(*arguments)
        if result:
            raise CudaError(f"{name} fails ({result})")


def resources(log: str) -> list[KernelResources]:
    """What the kernels of a source take, of the log of its compilation to machine code."""
    found = re.findall(
        r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
        r"(\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)",
        log,
        re.S,
    )
    result = []
    for name, stack, stores, loads, registers, rest in found:
        shared = re.search(r"(\d+) bytes smem", rest)
        result.append(
            KernelResources(
                name,
                int(registers),
                int(stores) + int(loads),
                int(stack),
                int(shared[1]) if shared else 0,
            )
        )
    return result


@cache
def installed_nvrtc(most: int) -> Nvrtc:
    """The first NVRTC that is found and whose machine code a driver loads.

    Args:
        most: major version of CUDA that the driver is for; it loads no later one's code.

    Raises:
        CudaError: there is none.
    """
    late = ""
    for library, *needed in _places():
        try:
            found = _opened(library, *needed)
        except OSError:  # damaged, or of another system
            continue
        if found.version[0] <= most:
            return found
        late = f" for CUDA {most} or before, which is what the driver is for"
    package = "nvidia-cuda-nvrtc" if most > 12 else "nvidia-cuda-nvrtc-cu12"
    raise CudaError(f"there is no NVRTC, which compiles kernels{late}: pip install {package}")


def load_nvrtc(folder: Path) -> Nvrtc:
    """The NVRTC of a folder of libraries.

    Raises:
        CudaError: it has none.
        OSError: it cannot be loaded.
    """
    for library, *needed in _libraries(folder):
        return _opened(library, *needed)
    raise CudaError(f"{folder} has no NVRTC")


def _opened(library: Path | str, *needed: Path | str) -> Nvrtc:
    for other in needed:  # 13.0's does not find it by itself
        ctypes.CDLL(str(other))
    return Nvrtc(ctypes.CDLL(str(library)))


def _places() -> Iterator[tuple[Path | str, ...]]:
    """Libraries in the order of being tried, each with what it needs to have been loaded before."""
    for package in ("nvidia.cu13", "nvidia.cuda_nvrtc", "torch"):
        for folder in _folders(package):
            for part in ("lib", "bin", "bin/x86_64"):
                yield from _libraries(folder / part)
    if sys.platform == "win32":
        yield from (("nvrtc64_130_0.dll",), ("nvrtc64_120_0.dll",))
    else:
        yield from (("libnvrtc.so.13",), ("libnvrtc.so.12",))


def _folders(package: str) -> list[Path]:
    try:
        found = importlib.util.find_spec(package)
    except ImportError:  # not even the package that it is in
        return []
    return [Path(place) for place in (found.submodule_search_locations if found else None) or ()]


def _libraries(folder: Path) -> Iterator[tuple[Path, ...]]:
    builtins = sorted(folder.glob("*nvrtc-builtins*"), reverse=True)
    builtins = [path for path in builtins if ".alt." not in path.name]
    for pattern in ("libnvrtc.so.*", "nvrtc64_*_0.dll"):
        for path in sorted(folder.glob(pattern), reverse=True):
            yield path, *builtins
