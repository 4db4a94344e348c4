"""The network of "Real-time 3D-aware Portrait Video Relighting" (Cai et al., CVPR 2024).

Written from published facts and proven against the released network's outputs; the weights are the
authors', for research only, and are not part of this project.
"""

from vcam_relight.pipeline.engines.paper.camera import look_at
from vcam_relight.pipeline.engines.paper.model import PaperModel, Person, fade_lights
from vcam_relight.pipeline.engines.paper.outputs import Outputs
from vcam_relight.pipeline.engines.paper.temporal import PlaneHistory
from vcam_relight.pipeline.engines.paper.weights import CheckpointError, load_network

__all__ = [
    "CheckpointError",
    "Outputs",
    "PaperModel",
    "Person",
    "PlaneHistory",
    "fade_lights",
    "load_network",
    "look_at",
]
