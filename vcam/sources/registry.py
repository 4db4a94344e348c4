"""Every source that `--source` can name: one row each."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vcam_relight.vcam.core.errors import InputError, SourceError, UsageError
from vcam_relight.vcam.core.frame import VideoMode
from vcam_relight.vcam.sources.source import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SourceKind:
    """What is known of a kind of source without loading it."""

    make: Callable[[str, VideoMode], Source]
    """Given the argument (empty where there is none) and the mode asked of a camera. Imports
    lazily, so that a source whose parts are missing fails alone; the source need not be open."""
    argument: str = ""
    """What may follow the kind and a colon, as in `camera:N`; empty: nothing."""


def _camera(argument: str, mode: VideoMode) -> Source:
    from vcam_relight.vcam.devices.listing import list_cameras
    from vcam_relight.vcam.sources.camera import CameraSource

    if not argument:
        return _first_camera(mode)
    if not re.fullmatch(r"[0-9]{1,4}", argument):
        raise UsageError(f"'camera:{argument}' names no camera", "give its number, as in camera:0")
    index = int(argument)
    name = next((found.name for found in list_cameras() if found.index == index), "")
    return CameraSource(index, mode.size, mode.fps, name)


def _first_camera(mode: VideoMode) -> Source:
    from vcam_relight.vcam.devices.listing import list_cameras
    from vcam_relight.vcam.sources.camera import CameraSource

    problems = []
    for found in list_cameras():
        camera = CameraSource(found.index, mode.size, mode.fps, found.name)
        try:
            camera.open()
        except SourceError as error:
            problems.append(error.what)
        else:
            log.info("the camera is %s", camera.label)
            return camera
    raise SourceError(
        "; ".join(problems) or "no camera was found",
        "plug one in, close the program that uses it, or use --source demo",
    )


def _file(wish: str, mode: VideoMode) -> Source:
    from vcam_relight.vcam.sources.file import FileSource, is_url

    hint = f"--source takes {', '.join(source_forms())}"
    if not wish:
        raise UsageError("the source is empty", hint)
    if not is_url(wish) and not Path(wish).exists():
        raise InputError(f"there is no file {wish}", hint)
    device = re.fullmatch(r"/dev/video([0-9]{1,4})", str(Path(wish).resolve()))
    if device:
        return _camera(device[1], mode)
    return FileSource(wish, mode.fps)


def _peer(argument: str, mode: VideoMode) -> Source:
    from vcam_relight.vcam.sources.peer import PeerSource

    return PeerSource()


def _demo(argument: str, mode: VideoMode) -> Source:
    from vcam_relight.vcam.sources.demo import DemoSource

    return DemoSource(mode.size)


SOURCES: dict[str, SourceKind] = {
    "camera": SourceKind(_camera, "N"),
    "peer": SourceKind(_peer),
    "demo": SourceKind(_demo),
}
"""Every source that goes by its kind; whatever else `--source` names is a file or a URL."""


def source_forms() -> list[str]:
    """The ways to write `--source`."""
    forms = []
    for kind, info in SOURCES.items():
        forms += [kind, f"{kind}:{info.argument}"] if info.argument else [kind]
    return [*forms, "PATH_OR_URL"]


def open_source(wish: str | None, mode: VideoMode) -> Source:
    """The source that is meant, handed over open.

    With that, what cannot work fails before anything runs, and a webcam, which takes a second, is
    opened once.

    Args:
        wish: one of `source_forms`; `camera` is the first that works. None: a camera if one
            works, else the demo clip.
        mode: size and frame rate asked of a camera.

    Raises:
        UsageError: an argument that makes no sense, or nothing at all.
        InputError: there is no such file.
        SourceError: it does not open.
    """
    if wish is None:
        try:
            return open_source("camera", mode)
        except SourceError as error:
            log.info("%s: showing the demo clip", error.what)
            wish = "demo"
    kind, colon, argument = wish.partition(":")
    info = SOURCES.get(kind)
    if info is None or (colon and not info.argument):
        source = _file(wish, mode)
    elif colon and not argument:
        raise UsageError(f"{wish!r} names no {kind}", f"write {kind}:{info.argument}")
    else:
        source = info.make(argument, mode)
    source.open()
    return source
