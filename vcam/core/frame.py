"""A frame on its way through the loop."""

from dataclasses import dataclass
from fractions import Fraction

from vcam_relight.pipeline.core.image import BgrImage

TIME_BASE = Fraction(1, 90_000)
"""Units of `Frame.pts` in seconds: RTP's video clock (RFC 3551, section 5)."""


@dataclass(frozen=True, slots=True)
class VideoMode:
    """Size and frame rate, as asked of a camera or told to whoever reads one."""

    size: tuple[int, int]
    """Width and height in pixels."""
    fps: float


@dataclass(frozen=True, slots=True)
class Frame:
    """One image and when it was taken."""

    image: BgrImage
    """`(H, W, 3)` uint8 BGR, sRGB, full range. Nobody writes to it once it is in a frame."""
    captured: float
    """`time.perf_counter()` when it came from the camera: the clock of latency."""
    pts: int
    """Media time in `TIME_BASE`, growing within a stream."""

    @property
    def seconds(self) -> float:
        """Media time in seconds."""
        return float(self.pts * TIME_BASE)
