"""How many streams a machine carries, measured before anybody joins."""

import itertools
import os
import time
from collections.abc import Callable

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter
from vcam_relight.vcam.sources.demo import DemoSource

_WARM_UP, _FRAMES = 12, 40
"""Frames that are relit before and while it is measured."""
_SHARE = 0.8
"""Of all cores that streams may take: the rest is the event loop's and the system's."""
_MEDIA = 0.08
"""Cores that a stream's decoding, encoding and sockets take, at 15 frames a second."""
_MEDIA_FPS = 15.0


def measured_places(
    make: Callable[[], Relighter], size: tuple[int, int], fps: float, cores: int | None = None
) -> int:
    """Streams that this machine carries at once, at least one.

    Args:
        make: gives a relighter of the engine that streams begin with.
        size: of their frames, width and height.
        fps: of their cameras.
        cores: by default those that this program may use.
    """
    lighting = load_presets()[0]["key-left"].lighting()
    frames = _frames(size, _WARM_UP + _FRAMES)
    with make() as relighter:
        begin = 0.0
        for index, image in enumerate(frames):
            if index == _WARM_UP:
                begin = time.process_time()
            relighter.process(image, index / fps, lighting, RelightSettings())
        frame_s = (time.process_time() - begin) / _FRAMES
    stream = frame_s * fps + _MEDIA * fps / _MEDIA_FPS
    available = cores or usable_cores()
    return max(1, int(available * _SHARE / stream))


def _frames(size: tuple[int, int], count: int) -> list[BgrImage]:
    """Of the demo clip, decoded before anything is measured."""
    source = DemoSource(size)
    source.open()
    try:
        return [frame.image for frame in itertools.islice(iter(source.read, None), count)]
    finally:
        source.close()


def usable_cores() -> int:
    """Cores that this program may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
