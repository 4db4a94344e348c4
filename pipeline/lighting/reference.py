"""The lighting of a photograph, read from the faces in it."""

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.geometry.engine import GeometryEngine
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.lighting.lighting import Lighting


def lighting_of(image: BgrImage) -> Lighting:
    """Estimates the light on the faces of a photo.

    Directions and their differences in colour are carried over; an overall tint is not, since it
    cannot be told from the tone of the skin.

    Args:
        picture: `(H, W, 3)` uint8 BGR.

    Raises:
        ValueError: no face, or too little skin to tell.
    """
    faces = FaceTracker(StageTimer()).still(image)
    if not faces.faces:
        raise ValueError("no face was found in it")
    sh = GeometryEngine().source_lighting(image, faces)
    if sh is None:
        raise ValueError("too little of a face is seen in it to tell the light")
    return Lighting.from_sh(sh)
