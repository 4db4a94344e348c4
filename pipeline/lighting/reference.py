"""The lighting of a photograph, read from the faces in it."""

from contextlib import closing

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.head.normals import NormalMapper
from vcam_relight.pipeline.lighting.estimation import estimate_lighting
from vcam_relight.pipeline.lighting.lighting import Lighting


def lighting_of(image: BgrImage) -> Lighting:
    """Estimates the light on the faces of a photo.

    Directions and their differences in colour are carried over; an overall tint is not, since it
    cannot be told from the tone of the skin.

    Args:
        image: `(H, W, 3)`.

    Raises:
        ValueError: no face, or too little skin to tell.
        OSError, RuntimeError: the face tracker's models are missing or do not load.
    """
    with closing(FaceTracker(StageTimer())) as tracker:
        faces = tracker.still(image)
    if not faces.faces:
        raise ValueError("no face was found in it")
    sh = estimate_lighting(FrameContext(image, faces), NormalMapper())
    if sh is None:
        raise ValueError("too little of a face is visible in it to tell the light")
    return Lighting.from_sh(sh)
