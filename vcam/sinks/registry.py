"""Every sink that `--sink` can name: one row each."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

from vcam_relight.vcam.core.errors import SinkError, UsageError
from vcam_relight.vcam.core.frame import VideoMode
from vcam_relight.vcam.sinks.sink import Sink

log = logging.getLogger(__name__)

NONE, AUTO = "none", "auto"
"""Words of `--sink` beside the kinds: no sink but the preview; the first of `AUTOMATIC` that
opens."""
AUTOMATIC = ("device", "pipewire") if sys.platform == "linux" else ("device",)


@dataclass(frozen=True, slots=True)
class SinkKind:
    """What is known of a kind of sink without loading it."""

    make: Callable[[str, VideoMode, bool], Sink]
    """Given the argument (empty where there is none), the mode that consumers are told to expect,
    and whether frames go on while nobody consumes them. Imports lazily; the sink need not be
    open."""
    argument: str = ""
    """What may follow the kind and a colon, as in `device:NAME`; empty: nothing."""


def _device(argument: str, mode: VideoMode, always_on: bool) -> Sink:
    from vcam_relight.vcam.sinks.virtual_camera import VirtualCameraSink

    sink = VirtualCameraSink(mode.size, mode.fps, argument or None, always_on=always_on)
    sink.open()
    log.info("other programs can pick the camera %s", sink.device)
    return sink


def _pipewire(argument: str, mode: VideoMode, always_on: bool) -> Sink:
    from vcam_relight.vcam.sinks.pipewire import PipeWireSink

    sink = PipeWireSink(mode.size, mode.fps, argument or None, always_on=always_on)
    sink.open()
    log.info(
        "programs that read PipeWire's cameras can pick %s; `vcam doctor` says which", sink.device
    )
    return sink


SINKS: dict[str, SinkKind] = {
    "device": SinkKind(_device, "NAME"),
    "pipewire": SinkKind(_pipewire, "NAME"),
}
"""Every sink that the command line can choose, by its word there."""


def sink_forms() -> list[str]:
    """The ways to write `--sink`."""
    forms = [AUTO, NONE]
    for word, info in SINKS.items():
        forms += [word, f"{word}:{info.argument}"] if info.argument else [word]
    return forms


def open_sink(wish: str, mode: VideoMode, always_on: bool = False) -> Sink | None:
    """The sink that is meant, or None where only the preview is to show.

    It is handed over open, so that nobody else takes it meanwhile.

    Args:
        wish: one of `sink_forms`; `auto` is the virtual camera, or on Linux PipeWire's, if one
            opens. A device's name is what other programs list, or on Linux its path.
        mode: size and frame rate that consumers are told to expect.
        always_on: whether it takes frames also while nobody consumes them.

    Raises:
        UsageError: `wish` is none of these.
        SinkError: a sink was asked for by name and does not open.
    """
    if wish == NONE:
        return None
    if wish == AUTO:
        return _first_automatic(mode, always_on)
    word, colon, argument = wish.partition(":")
    info = SINKS.get(word)
    if info is None or (colon and not (info.argument and argument)):
        raise UsageError(
            f"there is no sink called {wish!r}", f"choose of {', '.join(sink_forms())}"
        )
    sink = info.make(argument, mode, always_on)
    sink.open()
    return sink


def _first_automatic(mode: VideoMode, always_on: bool) -> Sink | None:
    problem: SinkError | None = None
    for word in AUTOMATIC:
        try:
            return SINKS[word].make("", mode, always_on)
        except SinkError as error:
            problem = problem or error
    log.warning("only the preview shows the picture: %s", problem)
    return None
