"""The interface of every relighting engine."""

from typing import Any, Protocol

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import Lighting


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
        frame: BgrImage,
        faces: FaceState,
        lighting: Lighting,
        settings: RelightSettings,
        state: Any,
    ) -> BgrImage:
        """Returns `frame` under `lighting`.

        `state` is what this engine's `new_state` gave for the stream. `frame` is never written
        to; it may be returned as it is when nothing changes.
        """
