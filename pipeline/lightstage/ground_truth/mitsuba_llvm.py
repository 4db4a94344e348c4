"""Imports mitsuba on the CPU: finds LLVM's library, sets the variant and the threads.

Importing it raises ImportError, with a hint, when mitsuba or LLVM 19 is missing.
"""

import os
from pathlib import Path
from typing import Any

_PLACES = (
    "usr/lib/*/libLLVM.so.19*",
    "usr/lib/llvm-19/lib/libLLVM*.so*",
    "usr/lib64/llvm19/lib*/libLLVM.so*",
    "usr/lib64/libLLVM.so.19*",
    "opt/homebrew/opt/llvm@19/lib/libLLVM.dylib",
    "usr/local/opt/llvm@19/lib/libLLVM.dylib",
)
_THREADS = 2
"""Dr.Jit 1.4 hangs on one thread."""


def _find_llvm() -> str:
    for place in _PLACES:
        for path in sorted(Path("/").glob(place)):
            return str(path)
    raise ImportError(
        "mitsuba needs LLVM 19's library (14 to 16 fail): install it (Debian, Ubuntu: "
        "apt install libllvm19) or set DRJIT_LIBLLVM_PATH to its libLLVM.so.19.1"
    )


try:
    import drjit
    import mitsuba
except ImportError as error:
    raise ImportError("mitsuba is missing: pip install 'mitsuba>=3.9,<3.10'") from error

if "DRJIT_LIBLLVM_PATH" not in os.environ:
    os.environ["DRJIT_LIBLLVM_PATH"] = _find_llvm()
dr: Any = drjit
mi: Any = mitsuba
mi.set_variant("llvm_ad_rgb")
mi.set_log_level(mi.LogLevel.Error)
dr.set_thread_count(max(_THREADS, dr.thread_count()))

__all__ = ["dr", "mi"]
