"""The engine that changes nothing: the baseline of speed and quality."""

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import Lighting


class PassthroughEngine:
    """Returns each frame untouched: the baseline that others are measured against."""

    name = "passthrough"
    runs_on = "CPU"
    needs_faces = False
    card = None

    def open_stream(self, timer: StageTimer) -> "PassthroughStream":
        """A stream that remembers nothing."""
        return PassthroughStream()

    def source_lighting(self, frame: BgrImage, faces: FaceState) -> FloatArray | None:
        """None: it estimates none."""
        return None

    def close(self) -> None:
        """Nothing is held."""


class PassthroughStream:
    """See `PassthroughEngine`."""

    effort = FULL

    def relight(
        self, frame: BgrImage, faces: FaceState, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """Returns `frame` itself."""
        return frame

    def portrait(self) -> None:
        """None: it knows no head's shape."""

    def reset(self) -> None:
        """Nothing is remembered."""

    def close(self) -> None:
        """Nothing is held."""
