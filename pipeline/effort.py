"""How much work a frame is worth: less of it where the machine has other things to do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """What engines and the tracker spend on each frame of a stream."""

    name: str
    """For people, as an answer to "how does the light look?"."""
    patience: float
    """How much more, and longer, a head may change until the network looks at it again."""
    mask_every: int
    """Frames of which the person mask is looked for in one while little moves."""
    analysis_side: int
    """Pixels on the longer side of the images in which light is worked out."""


FULL = Effort("full quality", 1.0, 2, 256)
EFFORTS = (
    FULL,
    Effort("fewer looks at the face", 2.0, 2, 256),
    Effort("coarser light", 2.0, 3, 208),
    Effort("coarsest light", 3.0, 4, 160),
)
"""The most first. Each keeps the picture: light is smooth, and edges are found in the frame."""
