"""The interface of every relighting engine, and the table of those that exist."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.lighting import Lighting
from pipeline.timing import StageTimer
from pipeline.types import SPECIAL, FaceState, Picture, RelightSettings


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


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What is known of an engine without loading it."""

    make: Callable[[str], Engine]
    """Given a torch device name. Imports lazily, so that an engine whose parts are missing fails
    alone."""
    uses_torch: bool
    """Whether the device matters; others run on the CPU."""
    obeys: frozenset[str] = frozenset()
    """Which of the `SPECIAL` controls it obeys; all obey the others."""

    @property
    def deaf_to(self) -> frozenset[str]:
        """Controls that change nothing."""
        return SPECIAL - self.obeys


def _geometry(device: str) -> Engine:
    from pipeline.geometry_engine import GeometryEngine

    return GeometryEngine()


def _paper(device: str) -> Engine:
    from pipeline.paper.engine import PaperEngine

    return PaperEngine.load(device)


def _triplane(device: str) -> Engine:
    from pipeline.triplane.engine import TriplaneEngine
    from pipeline.triplane.model import checkpoint_path, load_network

    return TriplaneEngine(load_network(checkpoint_path()), device)


ENGINES: dict[str, EngineInfo] = {
    "triplane": EngineInfo(_triplane, uses_torch=True, obeys=SPECIAL),
    "geometry": EngineInfo(_geometry, uses_torch=False),
    "paper": EngineInfo(_paper, uses_torch=True, obeys=frozenset({"yaw", "pitch"})),
    "passthrough": EngineInfo(lambda device: PassthroughEngine(), uses_torch=False),
}
"""Every engine by name; command line, panel and bench find them here."""

DEFAULT_ENGINE = "triplane"


def load_engine(name: str, device: str = "cpu") -> Engine:
    """Makes the engine called `name`.

    Raises:
        KeyError: there is no such engine.
        OSError, RuntimeError: its files are missing or do not load.
    """
    return ENGINES[name].make(device)
