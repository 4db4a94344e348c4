"""The checks of `vcam doctor`: what works here, what does not, and how to mend it.

`fail` is what keeps the program from its main job; without a camera, a GPU or a virtual camera it
still works, so those are `warn`.
"""

import hashlib
import importlib
import importlib.metadata
import os
import platform
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vcam.config import config_folder, presets_folder, settings_file
from vcam.devices import Camera, VirtualCamera, cameras_to_show, list_virtual_cameras
from vcam.errors import VcamError
from vcam.sinks.virtual_camera import LOAD_MODULE, how_to_get_one

Level = Literal["ok", "warn", "fail"]

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
}
"""Module -> the distribution it comes from."""
MODELS = Path(__file__).parent.parent / "third_party" / "mediapipe"
LOOPBACK = Path("/sys/module/v4l2loopback")


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    level: Level
    name: str
    detail: str
    mend: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<4} {self.name}: {self.detail}"
        return f"{line}; {self.mend}" if self.mend else line


def all_checks(port: int) -> Iterator[Check]:
    """Every check, in the order in which a person would mend things.

    Args:
        port: the panel's.
    """
    yield check_python()
    for module, distribution in NEEDED.items():
        yield check_package(module, distribution)
    yield check_h264()
    yield check_models(MODELS)
    yield check_engine()
    yield check_gpu()
    yield check_cameras(cameras_to_show())
    yield check_virtual_camera(list_virtual_cameras())
    yield check_port(port)
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
        return Check("fail", distribution, _line(error), f"pip install {distribution}")


def check_h264() -> Check:
    """PyAV can write H.264, which recordings and relit videos use."""
    try:
        import av

        av.Codec("libx264", "w")
    except Exception as error:
        return Check(
            "fail", "h264", f"PyAV has no encoder ({_line(error)})", "pip install --force av"
        )
    return Check("ok", "h264", "libx264")


def check_models(folder: Path) -> Check:
    """The model files are there and are the ones that were tested."""
    name = "models"
    mend = "install the program again, or restore third_party/mediapipe"
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        return Check("fail", name, f"{sums} is missing", mend)
    count = 0
    for digest, file in re.findall(r"^([0-9a-f]{64}) [ *](.+)$", sums.read_text("utf-8"), re.M):
        try:
            data = (folder / file).read_bytes()
        except OSError as error:
            return Check("fail", name, _line(error), mend)
        if hashlib.sha256(data).hexdigest() != digest:
            return Check("fail", name, f"{file} is not the file that was tested", mend)
        count += 1
    if count == 0:
        return Check("fail", name, f"{sums} names no file", mend)
    return Check("ok", name, f"{count} files in {folder}")


def check_engine() -> Check:
    """The default engine loads and relights one picture."""
    try:
        import numpy as np

        from pipeline.engine import DEFAULT_ENGINE
        from pipeline.lighting import AUTO
        from pipeline.relighter import Relighter
        from pipeline.types import RelightSettings
        from vcam.compute import engine_on

        relighter = Relighter(engine_on(DEFAULT_ENGINE, "auto"))
        relighter.process(np.zeros((360, 640, 3), np.uint8), 0.0, AUTO, RelightSettings())
    except Exception as error:  # whatever it is, the user should read it here
        return Check(
            "fail", "engine", _line(error), "see the checks above, or use another --engine"
        )
    return Check("ok", "engine", f"{DEFAULT_ENGINE} relights")


def check_gpu() -> Check:
    """torch and what it can compute on."""
    try:
        import torch
    except Exception as error:
        return Check("warn", "gpu", f"torch does not load ({_line(error)})", "pip install torch")
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        return Check("ok", "gpu", f"{name}, torch {torch.__version__}")
    return Check(
        "warn", "gpu", f"none for torch {torch.__version__}: neural engines run on the CPU"
    )


def check_cameras(cameras: list[Camera]) -> Check:
    """There is a camera."""
    if not cameras:
        return Check("warn", "cameras", "none", "plug one in, or use --source demo or peer")
    return Check("ok", "cameras", ", ".join(f"{c.index}: {c.name}" for c in cameras))


def check_virtual_camera(virtual: list[VirtualCamera]) -> Check:
    """There is a virtual camera that other programs will list."""
    name = "virtual camera"
    try:
        importlib.import_module("pyvirtualcam")
    except Exception as error:
        problem = f"pyvirtualcam does not load ({_line(error)})"
        return Check("warn", name, problem, "pip install pyvirtualcam")
    if not virtual:
        loaded = sys.platform == "linux" and LOOPBACK.is_dir()
        detail = "v4l2loopback is loaded but has no device" if loaded else "none"
        return Check("warn", name, detail, how_to_get_one())
    detail = ", ".join(f"{camera.name} ({camera.path})" for camera in virtual)
    if sys.platform == "linux":
        again = f"sudo modprobe -r v4l2loopback && {LOAD_MODULE}"
        exclusive = _exclusive_caps(LOOPBACK)
        if exclusive is not None and "Y" not in exclusive:
            return Check(
                "warn", name, f"{detail}: browsers do not list it without exclusive_caps=1", again
            )
        if not any(camera.writable for camera in virtual):
            return Check("warn", name, f"{detail}: in use by another program, or stuck", again)
    return Check("ok", name, detail)


def check_port(port: int) -> Check:
    """The panel's port is free on this machine."""
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Check("warn", "port", f"{port}: {_line(error)}", "choose another with --port")
    return Check("ok", "port", f"{port} is free")


def check_config_folder() -> Check:
    """Settings can be saved, and those saved can be read."""
    folder = config_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return Check("warn", "config", f"{folder} cannot be written", f"make {existing} writable")
    if settings_file().exists() and not os.access(settings_file(), os.R_OK):
        return Check("warn", "config", f"{settings_file()} cannot be read", "make it readable")
    return Check("ok", "config", str(folder))


def check_user_presets() -> Check:
    """The user's own presets are understood."""
    from pipeline.lighting.presets import load_presets

    _, problems = load_presets(presets_folder())
    if problems:
        return Check("warn", "presets", "; ".join(map(_clean, problems)), "correct the file")
    return Check("ok", "presets", f"your own go into {presets_folder()}")


def _exclusive_caps(module: Path) -> str | None:
    """The module's parameter, Y or N for each device; None when it cannot be read."""
    try:
        return (module / "parameters" / "exclusive_caps").read_text("ascii")
    except OSError:
        return None


def _line(error: Exception) -> str:
    text = (
        str(error) if isinstance(error, VcamError | OSError) else f"{type(error).__name__}: {error}"
    )
    return _clean(text)


def _clean(text: str) -> str:
    return " ".join(text.split())
