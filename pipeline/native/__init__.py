"""Kernels in C++ for what the frame budget needs, built where they are first used."""

import hashlib
import logging
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

_LOG = logging.getLogger(__name__)
_FLAGS = {"AVX2": ["-mavx2", "-mfma"], "AVX512": ["-mavx2", "-mfma"]}
"""Of the compiler by torch's name of the CPU; others get what every CPU of their kind has."""


@cache
def kernels() -> Any | None:
    """The operators of this folder's sources, or None, with a warning, where they cannot be built.

    The first call builds them into torch's extension folder (`TORCH_EXTENSIONS_DIR`), which takes
    some 20 s; processes that ask at the same time wait for one another.
    """
    try:
        _load()
    except (RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        _LOG.warning(
            "relighting runs at half speed without its kernels, which could not be built (%s): "
            "install a C++ compiler (Debian: apt install g++; macOS: xcode-select --install), and "
            "see that torch's extension folder can be written (TORCH_EXTENSIONS_DIR)",
            str(error).splitlines()[0],
        )
        return None
    return torch.ops.vcam


def _load() -> None:
    # Imported here as it is slow, and not needed without a network.
    from torch.utils import cpp_extension

    here = Path(__file__).parent
    sources = sorted(here.glob("*.cpp"))
    content = b"".join(path.read_bytes() for path in [*sources, *sorted(here.glob("*.h"))])
    cpu = torch.backends.cpu.get_cpu_capability()
    flags = ["-O3", "-fno-math-errno", "-pthread", *_FLAGS.get(cpu, [])]
    # Other versions of the program, or with another torch, must not be given these.
    made_of = content + repr((torch.__version__, flags)).encode()
    name = f"vcam_{cpu.lower()}_{hashlib.sha256(made_of).hexdigest()[:12]}"
    folder = Path(cpp_extension._get_build_directory(name, verbose=False))
    library, complete = folder / f"{name}{cpp_extension.LIB_EXT}", folder / "complete"
    with FileLock(folder / "vcam.lock"):
        if complete.exists():
            try:
                torch.ops.load_library(library)  # type: ignore[no-untyped-call]
                return
            except OSError:  # damaged, or of a system that has changed
                complete.unlink()
                library.unlink(missing_ok=True)
        _build(name, folder, sources, flags)
        complete.touch()


def _build(name: str, folder: Path, sources: list[Path], flags: list[str]) -> None:
    import ninja
    from torch.utils import cpp_extension

    _LOG.info("building the kernels, once: this takes some 20 s")
    # torch looks for it on the PATH, where it is in an activated environment only.
    os.environ["PATH"] = os.pathsep.join([ninja.BIN_DIR, os.environ.get("PATH", os.defpath)])
    # torch's own lock outlives a build that was killed, and would be waited for without end.
    (folder / "lock").unlink(missing_ok=True)
    cpp_extension.load(
        name, [str(path) for path in sources], extra_cflags=flags, is_python_module=False
    )
