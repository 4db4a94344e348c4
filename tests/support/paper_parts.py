"""What tests of the paper's engine share: a face, a light, a network that does next to nothing."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from support.demo import demo_frames
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.paper import Outputs, PlaneHistory
from vcam_relight.pipeline.engines.paper.temporal import new_history
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.lights import Light, lights_to_sh

LEFT = Lighting.from_sh(lights_to_sh([Light(-60, 20, (1, 1, 1))], (0.3, 0.3, 0.3)))
PLAIN = RelightSettings()


@cache
def seen() -> FaceState:
    """What the tracker knows of the first frame of the demo clip."""
    return FaceTracker(StageTimer()).still(demo_frames(1)[0])


def landmarks() -> FloatArray:
    return seen().faces[0].landmarks


@dataclass
class Call:
    image: Tensor
    sh: Tensor
    camera: Tensor


class Stub:
    """Gives the image back, brighter by `add`."""

    def __init__(self, add: float = 0.2) -> None:
        self.size = 512
        self.timer = StageTimer()
        self.add = add
        self.calls: list[Call] = []

    def timed(self, timer: StageTimer) -> "Stub":
        self.timer = timer
        return self

    def new_history(self) -> PlaneHistory:
        return new_history(1, torch.device("cpu"))

    def video_frame(
        self, image: Tensor, sh: Tensor, camera: Tensor, history: PlaneHistory
    ) -> Outputs:
        self.calls.append(Call(image, sh, camera))
        with self.timer.stage("network"):
            none = torch.empty(0)
            return Outputs(image + self.add, none, none, none, none, none, none)
