"""How kernels are compiled, at install (`setup.py`) or on first use; by the standard library alone.

All C++ files beside this module make one plain library, once for each variant of the processor.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
_FLAGS = ("-std=c++20", "-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_AVX2 = ("-mavx2", "-mfma")
_X86 = {
    "avx512": (*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
    "avx2": _AVX2,
    "base": (),
}
_LINK = ("-static",) if sys.platform == "win32" else ("-pthread",)
"""On Windows MinGW's own libraries would have to be found."""


def variants() -> dict[str, tuple[str, ...]]:
    """Name -> compiler flags, for this kind of processor, the fastest first; all have the last."""
    return _X86 if platform.machine().lower() in ("x86_64", "amd64") else {"base": ()}


def library_name(variant: str) -> str:
    """The file of a variant that is made of the sources as they are now."""
    content = b"".join(path.read_bytes() for path in _sources("*.cpp", "*.h"))
    made_of = content + repr((platform.machine(), variants()[variant], _FLAGS)).encode()
    suffix = ".dll" if sys.platform == "win32" else ".so"
    return f"_kernels_{variant}_{hashlib.sha256(made_of).hexdigest()[:12]}{suffix}"


def compile_kernels(variant: str, library: Path) -> None:
    """Compiles a variant with `CXX` or `c++`.

    Raises:
        FileNotFoundError: there is no compiler.
        RuntimeError: it refuses; what it says is the message.
    """
    compiler = find_compiler()
    paths = [str(library), *map(str, _sources("*.cpp"))]
    command = [*compiler, *_FLAGS, *variants()[variant], "-o", *paths, *_LINK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise RuntimeError((errors or [f"{compiler[0]} ended with {done.returncode}"])[0])


def find_compiler() -> Sequence[str]:
    """The command of the C++ compiler.

    Raises:
        FileNotFoundError: it is not installed.
    """
    compiler = shlex.split(os.environ.get("CXX") or "c++")
    if shutil.which(compiler[0]) is None:
        raise FileNotFoundError(f"there is no {compiler[0]}")
    return compiler


def _sources(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in FOLDER.glob(pattern))
