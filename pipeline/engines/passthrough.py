"""The engine that changes nothing: the baseline of speed and quality."""

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.base import StreamState
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import Lighting


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
        frame: BgrImage,
        faces: FaceState,
        lighting: Lighting,
        settings: RelightSettings,
        state: StreamState,
    ) -> BgrImage:
        """Returns `frame` itself."""
        return frame
