"""The program itself: Python, packages, model files, the engine, the user's own files."""

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vcam_relight.pipeline.core.resources import CHECKPOINTS, MEDIAPIPE, read_checked, stated_sums
from vcam_relight.vcam.doctor.check import Check, one_line
from vcam_relight.vcam.doctor.system import System

if TYPE_CHECKING:
    from vcam_relight.pipeline.native.library import KernelLibrary

OLDEST_PYTHON = (3, 11)
NEEDED = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "av": "av",
    "aiohttp": "aiohttp",
    "aiortc": "aiortc",
    "platformdirs": "platformdirs",
    "PIL": "pillow",
    "tqdm": "tqdm",
    "ai_edge_litert.interpreter": "ai-edge-litert",
    "safetensors": "safetensors",
    "threadpoolctl": "threadpoolctl",
}
"""Module -> the distribution it comes from."""


def program_checks(system: System, *, engines: bool) -> Iterator[Check]:
    """The checks, in the order in which a person would fix things.

    Args:
        system: the machine.
        engines: whether the default engine is tried, which takes torch some seconds to load.
    """
    yield check_python()
    packages = [check_package(module, distribution) for module, distribution in NEEDED.items()]
    yield from packages
    yield check_torch()
    yield check_h264()
    yield check_files("models", MEDIAPIPE)
    yield check_files("checkpoint", CHECKPOINTS)
    complete = all(check.level == "ok" for check in packages)
    if complete:
        from vcam_relight.pipeline.native.library import kernel_library

        yield check_kernels(system, kernel_library())
    if engines:
        yield check_engine()
    if complete:
        yield check_config_folder()
        yield check_user_presets()


def check_python() -> Check:
    """The interpreter is new enough."""
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Check("fail", "python", version, "install Python 3.11 or newer")
    return Check("ok", "python", f"{version} on {platform.system()} {platform.machine()}")


def check_package(module: str, distribution: str) -> Check:
    """A package that the program needs imports."""
    try:
        importlib.import_module(module)
        return Check("ok", distribution, importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return Check("ok", distribution, "imports (installed under another name)")
    except Exception as error:  # a broken native library raises what it likes
        return Check("fail", distribution, one_line(error), f"pip install {distribution}")


def check_torch() -> Check:
    """Torch is installed; whether it loads is seen when engines are tried."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        hint = "pip install torch; until then choose --engine geometry"
        return Check("fail", "torch", "not installed: the neural engines need it", hint)
    return Check("ok", "torch", f"{version}; `vcam doctor --engines` tries it")


def check_h264() -> Check:
    """PyAV can write H.264, which recordings and relit videos use."""
    try:
        import av

        av.Codec("libx264", "w")
    except Exception as error:
        return Check(
            "fail", "h264", f"PyAV has no encoder ({one_line(error)})", "pip install --force av"
        )
    return Check("ok", "h264", "libx264")


def check_files(name: str, folder: Path) -> Check:
    """A folder's files are those that its `SHA256SUMS` names."""
    hint = f"install the program again, or restore {folder.name} from its repository"
    file = ""
    try:
        names = stated_sums(folder)
        for file in names:
            read_checked(folder / file)
    except OSError as error:
        return Check("fail", name, one_line(error), hint)
    except RuntimeError:
        return Check("fail", name, f"{file} is not the file that was tested", hint)
    if not names:
        return Check("fail", name, f"{folder} has no list of its files", hint)
    return Check("ok", name, f"as tested, in {folder}")


def check_engine() -> Check:
    """The default engine loads and relights one image."""
    try:
        from contextlib import closing

        import numpy as np

        from vcam_relight.pipeline.controls import RelightSettings
        from vcam_relight.pipeline.engines.registry import DEFAULT_ENGINE
        from vcam_relight.pipeline.lighting import AUTO
        from vcam_relight.pipeline.relighter import Relighter
        from vcam_relight.vcam.device import engine_on

        with (
            closing(engine_on(DEFAULT_ENGINE, "auto")) as engine,
            Relighter(engine) as relighter,
        ):
            relighter.process(np.zeros((360, 640, 3), np.uint8), 0.0, AUTO, RelightSettings())
    except Exception as error:  # whatever it is, the user should read it here
        hint = "see the checks above, or use another --engine"
        return Check("fail", "engine", one_line(error), hint)
    return Check("ok", "engine", f"{DEFAULT_ENGINE} relights")


def check_kernels(system: System, library: "KernelLibrary | None") -> Check:
    """The kernels in C++ are there; without them torch and OpenCV do their work, more slowly.

    Args:
        system: the machine.
        library: the kernels, if any.
    """
    name = "kernels"
    if library is not None:
        when = "with the program" if library.installed else "on first use"
        return Check("ok", name, f"{library.variant}, built {when}")
    slow = "torch runs the network and OpenCV composes frames, at half the speed"
    if system.platform == "win32":
        return Check("ok", name, f"none: {slow}")
    compiler = system.environ.get("CXX") or "c++"
    if shutil.which(compiler, path=system.environ.get("PATH")) is None:
        known = {"darwin": "xcode-select --install"}
        hint = known.get(system.platform, "install a C++ compiler (Debian: sudo apt install g++)")
        return Check("warn", name, f"there is no {compiler}: {slow}", hint)
    return Check(
        "warn", name, f"not built: {slow}", "`vcam -v doctor` shows what the compiler says"
    )


def check_config_folder() -> Check:
    """Settings can be saved, and those saved can be read."""
    from vcam_relight.vcam.settings.persistence import config_folder, settings_file

    folder = config_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return Check("warn", "config", f"{folder} cannot be written", f"make {existing} writable")
    if settings_file().exists() and not os.access(settings_file(), os.R_OK):
        return Check("warn", "config", f"{settings_file()} cannot be read", "make it readable")
    return Check("ok", "config", str(folder))


def check_user_presets() -> Check:
    """The user's own presets are understood."""
    from vcam_relight.pipeline.lighting.presets import load_presets
    from vcam_relight.vcam.settings.persistence import presets_folder

    _, problems = load_presets(presets_folder())
    if problems:
        detail = " ".join("; ".join(problems).split())
        return Check("warn", "presets", detail, "correct the file")
    return Check("ok", "presets", f"your own go into {presets_folder()}")
