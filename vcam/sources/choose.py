"""From `--source` to the source that it means."""

import logging
import re
from pathlib import Path

from vcam_relight.vcam.core.errors import InputError, SourceError, UsageError
from vcam_relight.vcam.devices.listing import list_cameras
from vcam_relight.vcam.sources.camera import CameraSource
from vcam_relight.vcam.sources.source import Source

log = logging.getLogger(__name__)


def choose_source(wish: str | None, size: tuple[int, int], fps: float) -> Source:
    """The source that is meant, tried out, so that what cannot work fails before anything runs.

    Args:
        wish: `camera` (the first that works), `camera:N`, `demo`, a path or a URL; None: a
            camera if one works, else the demo clip.
        size: width and height asked of a camera, in pixels.
        fps: frames per second asked of a camera.

    Raises:
        UsageError: `camera:` with something that is no number, or nothing at all.
        InputError: there is no such file.
        SourceError: it does not open.
    """
    if wish is None:
        try:
            return _first_camera(size, fps)
        except SourceError as error:
            log.info("%s: showing the demo clip", error.what)
            wish = "demo"
    if wish == "camera":
        return _first_camera(size, fps)
    source: Source
    if wish == "demo":
        from vcam_relight.vcam.sources.demo import DemoSource

        source = DemoSource(size)
    elif wish.startswith("camera:"):
        number = wish.removeprefix("camera:")
        if not re.fullmatch(r"[0-9]{1,4}", number):
            raise UsageError(f"{wish!r} names no camera", "give its number, as in camera:0")
        name = next((found.name for found in list_cameras() if found.index == int(number)), "")
        source = CameraSource(int(number), size, fps, name)
    else:
        source = _file(wish, fps)
    source.open()  # handed over open: opening a webcam takes a second
    return source


def _first_camera(size: tuple[int, int], fps: float) -> CameraSource:
    problems = []
    for found in list_cameras():
        camera = CameraSource(found.index, size, fps, found.name)
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


def _file(wish: str, fps: float) -> Source:
    from vcam_relight.vcam.sources.file import FileSource, is_url

    hint = "--source takes camera, camera:N, peer, demo, a path, a URL"
    if not wish:
        raise UsageError("the source is empty", hint)
    if not is_url(wish) and not Path(wish).exists():
        raise InputError(f"there is no file {wish}", hint)
    return FileSource(wish, fps)
