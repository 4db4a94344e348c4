"""What the face tracker knows about the people in a frame."""

from dataclasses import dataclass

from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map


@dataclass(frozen=True, slots=True)
class Face:
    """One tracked face."""

    track_id: int
    """Stays the same while the face is followed."""
    landmarks: FloatArray
    """`(468, 3)` MediaPipe face mesh: x right and y down in pixels of the frame, z in the same
    scale, growing away from the camera."""
    weight: float
    """0..1: eases in when the face appears and out when it is lost, so that light never pops."""
    visible: bool
    """Whether it was found in this frame; if not, it is remembered while it fades."""


@dataclass(frozen=True, slots=True)
class FaceState:
    """What the tracker knows about the people in one frame."""

    size: tuple[int, int]
    """Width and height of the frame in pixels."""
    small: BgrImage
    """`(h, w, 3)` the frame at the size that was searched, or itself."""
    time: float
    """Media time of the frame in seconds."""
    faces: tuple[Face, ...]
    mask: Map
    """`(h, w)` 0..1, how much of each pixel is a person's, at reduced resolution."""
    shot_change: bool
    """Another shot begins: forget what is known of the one before."""
