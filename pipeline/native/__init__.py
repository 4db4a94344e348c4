"""Kernels in C++ for what the frame budget needs, built where they are first used."""

import logging
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch

_LOG = logging.getLogger(__name__)
_FLAGS = {"AVX2": ["-mavx2", "-mfma"], "AVX512": ["-mavx2", "-mfma"]}
"""Of the compiler by torch's name of the CPU; others get what every CPU of their kind has."""
_STALE = 600.0
"""Seconds after which a build that has not ended was killed."""


@cache
def kernels() -> Any | None:
    """The operators of this folder's sources, or None, with a warning, where they cannot be built.

    The first call builds them into torch's extension folder (`TORCH_EXTENSIONS_DIR`), which takes
    some 20 s; processes that ask at the same time wait for one another.
    """
    # Imported here as it is slow, and not needed without a network.
    from torch.utils import cpp_extension

    cpu = torch.backends.cpu.get_cpu_capability()
    name = f"vcam_{cpu.lower()}"
    folder = Path(cpp_extension._get_build_directory(name, verbose=False))
    lock = folder / "lock"
    try:
        if lock.exists() and time.time() - lock.stat().st_mtime > _STALE:
            lock.unlink()
        if not any(folder.glob(f"{name}.*")):
            _LOG.info("building the kernels, once: this takes some 20 s")
        cpp_extension.load(
            name,
            [str(path) for path in sorted(Path(__file__).parent.glob("*.cpp"))],
            extra_cflags=["-O3", "-fno-math-errno", "-pthread", *_FLAGS.get(cpu, [])],
            is_python_module=False,
        )
    except (RuntimeError, OSError, ImportError) as error:
        _LOG.warning(
            "relighting runs at half speed without its kernels, which could not be built (%s): "
            "install a C++ compiler (Debian: apt install g++; macOS: xcode-select --install)",
            str(error).splitlines()[0],
        )
        return None
    return torch.ops.vcam
