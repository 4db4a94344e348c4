"""The sources that can be chosen while the program runs: cameras and the demo clip.

Files and URLs are for the command line: whoever holds the panel's token is not to read any file.
"""

from dataclasses import dataclass

from vcam_relight.vcam.core.errors import UsageError
from vcam_relight.vcam.core.frame import VideoMode
from vcam_relight.vcam.devices.listing import list_cameras
from vcam_relight.vcam.sources.camera import CameraSource
from vcam_relight.vcam.sources.registry import SOURCES
from vcam_relight.vcam.sources.source import Source

SIZES = ((640, 360), (640, 480), (1280, 720), (1920, 1080))
"""Width and height in pixels, that are offered."""
RATES = (15.0, 30.0, 60.0)
"""Frames per second, that are offered."""


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """One of them."""

    source: str
    """As `--source` takes it."""
    label: str
    """For people."""


def source_choices() -> list[SourceChoice]:
    """What can be chosen now; asks the system, which may take some milliseconds."""
    cameras = [
        SourceChoice(f"camera:{camera.index}", f"{camera.name} ({camera.path or camera.index})")
        for camera in list_cameras()
    ]
    return [*cameras, SourceChoice("demo", "Demo clip")]


def choice_of(source: Source) -> str:
    """What is chosen where this source is; empty for what cannot be chosen."""
    if isinstance(source, CameraSource):
        return f"camera:{source.index}"
    return source.kind if source.kind == "demo" else ""


def make_choice(wish: str, mode: VideoMode) -> Source:
    """The source of a choice, not open.

    Raises:
        UsageError: there is no such choice.
    """
    if wish not in [choice.source for choice in source_choices()]:
        raise UsageError(f"there is no source {wish!r} to choose", "plug the camera in")
    kind, _, argument = wish.partition(":")
    return SOURCES[kind].make(argument, mode)
