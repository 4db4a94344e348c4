"""The lighting of a photograph, read from the faces in it."""

from pipeline.face import FaceTracker
from pipeline.geometry_engine import GeometryEngine
from pipeline.lighting.lighting import Lighting
from pipeline.timing import StageTimer
from pipeline.types import Picture


def lighting_of(picture: Picture) -> Lighting:
    """Estimates the light on the faces of a photo.

    Directions and their differences in colour are carried over; an overall tint is not, since it
    cannot be told from the tone of the skin.

    Args:
        picture: `(H, W, 3)` uint8 BGR.

    Raises:
        ValueError: no face, or too little skin to tell.
    """
    faces = FaceTracker(StageTimer()).still(picture)
    if not faces.faces:
        raise ValueError("no face was found in it")
    sh = GeometryEngine().present_light(faces, picture)
    if sh is None:
        raise ValueError("too little of a face is seen in it to tell the light")
    return Lighting.from_sh(sh)
