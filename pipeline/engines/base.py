"""The interface of every relighting engine."""

from typing import Protocol

from vcam_relight.pipeline.compositing.portrait import Portrait
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.effort import Effort
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import Lighting


class Stream(Protocol):
    """One video in an engine. Use it from one thread.

    It holds all that is remembered from frame to frame: smoothed lighting, recurrent state. A
    stream is deterministic: the same frames, lighting and settings give the same images,
    whatever other streams its engine serves.
    """

    effort: Effort
    """What the next frame is worth; `FULL` unless somebody sets it."""

    def relight(
        self, frame: BgrImage, faces: FaceState, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """The next frame under another lighting.

        Args:
            frame: `(H, W, 3)`; never written to.
            faces: the people in it.
            lighting: the target lighting.
            settings: the user's controls.

        Returns:
            `(H, W, 3)`; `frame` itself where nothing changes.
        """

    def portrait(self) -> Portrait | None:
        """The largest head of the last frame, to be shown small in any light.

        None where nobody was in it, or the engine cannot.
        """

    def reset(self) -> None:
        """Forgets the frames before: a shot change, a new source, a failed frame."""

    def close(self) -> None:
        """Frees what the stream holds; it is not to be used afterwards. May be called twice."""


class Engine(Protocol):
    """A way to relight.

    It holds what all streams share (weights, models) and serves any number of them, each from a
    thread of its own.
    """

    name: str
    runs_on: str
    """What does its work, for people: `CPU`, or a card's name; and why, where something else was
    to."""
    needs_faces: bool
    """Whether streams read the face state; if not, no tracker runs."""

    @property
    def card(self) -> Card | None:
        """Whose kernels do its work, and a tracker's beside it; None: the CPU does."""

    def open_stream(self, timer: StageTimer) -> Stream:
        """A new stream, to be closed by the caller; it times its stages with `timer`."""

    def source_lighting(self, frame: BgrImage, faces: FaceState) -> FloatArray | None:
        """What the engine takes the lighting in a single frame for.

        Args:
            frame: `(H, W, 3)`.
            faces: the people in it.

        Returns:
            `(9, 3)` RGB SH radiance of exposure 1 (see `pipeline.lighting`); None where the engine
            estimates none, or too little of a face is visible.
        """

    def close(self) -> None:
        """Frees what the streams share, after all of them were closed. May be called twice."""
