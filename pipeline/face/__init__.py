"""Who is where in the picture: face landmarks and the person mask, followed over time."""

from vcam_relight.pipeline.face.tracker import FaceTracker

__all__ = ["FaceTracker"]
