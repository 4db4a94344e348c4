"""The program itself: Python, packages, model files, the engine, the user's own files."""

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from vcam_relight.pipeline.core.resources import CHECKPOINTS, MEDIAPIPE, read_checked, stated_sums
from vcam_relight.vcam.doctor.check import Check, one_line
from vcam_relight.vcam.doctor.system import System

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
}
"""Module -> the distribution it comes from."""


def program_checks(system: System) -> Iterator[Check]:
    """The checks, in the order in which a person would fix things."""
    yield check_python()
    packages = [check_package(module, distribution) for module, distribution in NEEDED.items()]
    yield from packages
    yield check_h264()
    yield check_files("models", MEDIAPIPE)
    yield check_files("checkpoint", CHECKPOINTS)
    engine = check_engine()
    yield engine
    if engine.level == "ok":
        from vcam_relight.pipeline.native.composition import compose_kernel
        from vcam_relight.pipeline.native.network import network_kernels

        yield check_kernels(
            system,
            network=network_kernels() is not None,
            compositing=compose_kernel() is not None,
        )
    if all(check.level == "ok" for check in packages):
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


def check_kernels(system: System, *, network: bool, compositing: bool) -> Check:
    """The kernels in C++ are built; without them torch and OpenCV do their work, more slowly.

    Args:
        system: the machine.
        network: whether those of the network are, after the engine has tried.
        compositing: whether that of the compositor is.
    """
    name = "kernels"
    if network and compositing:
        return Check("ok", name, "built for this processor")
    instead = []
    if not network:
        instead.append("torch runs the network, at half the speed")
    if not compositing:
        instead.append("OpenCV composes frames, at half the speed")
    slow = "; ".join(instead)
    if system.platform == "win32":
        return Check("ok", name, f"not for Windows: {slow}")
    path = system.environ.get("PATH")
    compiler = system.environ.get("CXX") or "c++"  # as torch.utils.cpp_extension chooses
    if shutil.which(compiler, path=path) is None:
        known = {"darwin": "xcode-select --install"}
        hint = known.get(system.platform, "install a C++ compiler (Debian: sudo apt install g++)")
        return Check("warn", name, f"there is no {compiler}: {slow}", hint)
    if not network and shutil.which("ninja", path=path) is None:
        hint = "pip install ninja, and have its folder on PATH"
        return Check("warn", name, f"there is no ninja: {slow}", hint)
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
