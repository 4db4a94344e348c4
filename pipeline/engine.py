"""The interface of every relighting engine, and the table of those that exist."""

from collections.abc import Callable
from typing import Any, Protocol

from pipeline.lighting import Lighting
from pipeline.timing import StageTimer
from pipeline.types import FaceState, Picture, RelightSettings


class StreamState(Protocol):
    """What an engine remembers of one stream (smoothed light, recurrent buffers)."""

    def reset(self) -> None:
        """Forget the stream: a cut, a new source, a failed frame."""


class Engine(Protocol):
    """Turns a frame into the same frame under another light.

    One engine serves many streams; all that belongs to a stream is in its state. An engine is
    deterministic: the same frames, lighting, settings and fresh state give the same pictures.
    """

    name: str
    needs_faces: bool
    """Whether `relight` reads the face state; if not, no tracker runs."""
    views: bool
    """Whether `yaw` and `pitch` other than 0 can be shown."""

    def new_state(self, timer: StageTimer) -> StreamState:
        """A fresh state for one stream; stages are timed with `timer`."""

    def relight(
        self,
        frame: Picture,
        faces: FaceState,
        lighting: Lighting,
        settings: RelightSettings,
        state: Any,
    ) -> Picture:
        """Returns `frame` under `lighting`.

        `state` is what this engine's `new_state` gave for the stream. `frame` is never written
        to; it may be returned as it is when nothing changes.
        """


class _NoState:
    def reset(self) -> None:
        pass


class PassthroughEngine:
    """Returns each frame untouched: the baseline that others are measured against."""

    name = "passthrough"
    needs_faces = False
    views = False

    def new_state(self, timer: StageTimer) -> StreamState:
        """Nothing to remember."""
        return _NoState()

    def relight(
        self,
        frame: Picture,
        faces: FaceState,
        lighting: Lighting,
        settings: RelightSettings,
        state: StreamState,
    ) -> Picture:
        """Returns `frame` itself."""
        return frame


def _geometry(device: str) -> Engine:
    from pipeline.geometry_engine import GeometryEngine

    return GeometryEngine()


ENGINES: dict[str, Callable[[str], Engine]] = {
    "geometry": _geometry,
    "passthrough": lambda device: PassthroughEngine(),
}
"""Engine name -> maker, given a torch device name. Makers import lazily, so that an engine whose
parts are missing fails alone."""

VIEW_ENGINES: frozenset[str] = frozenset()
"""The engines whose `views` is True: known without loading them."""

DEFAULT_ENGINE = "geometry"


def load_engine(name: str, device: str = "cpu") -> Engine:
    """Makes the engine called `name`.

    Raises:
        KeyError: there is no such engine.
        OSError, RuntimeError: its files are missing or do not load.
    """
    return ENGINES[name](device)
