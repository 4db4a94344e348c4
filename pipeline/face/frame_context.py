"""A frame, the people in it, and what several parts of an engine read of both."""

from functools import cached_property

import numpy as np

from vcam_relight.pipeline.core.analysis_image import AnalysisImage
from vcam_relight.pipeline.core.image import BgrImage, Map
from vcam_relight.pipeline.core.resample import quick_resize, resize
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.face.skin import skin_masks
from vcam_relight.pipeline.face.types import FaceState


def analysis_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height of the analysis resolution for a frame of that size.

    It is that of normal maps, shading and gains, which are smooth; edges are found again in the
    frame itself. `side` is the longer one's, in pixels.
    """
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


class FrameContext:
    """A frame and its faces; what is derived of them is made when it is first asked for.

    All maps are at the analysis resolution, `(h, w)`.
    """

    def __init__(self, frame: BgrImage, faces: FaceState, side: int = FULL.analysis_side) -> None:
        """Takes a frame.

        Args:
            frame: `(H, W, 3)`.
            faces: the people in it.
            side: pixels on the longer side of the analysis resolution.
        """
        self.frame = frame
        self.faces = faces
        self.size = analysis_size(*faces.size, side)
        """Width and height of the analysis resolution."""
        self.scale = self.size[0] / faces.size[0]
        """Pixels at the analysis resolution for one of the frame."""
        self.image = AnalysisImage(quick_resize(faces.small, self.size))
        """The frame."""

    @cached_property
    def mask(self) -> Map:
        """`(h, w)` 0..1, how much of a pixel is a person's."""
        return resize(self.faces.mask, self.size)

    @cached_property
    def skins(self) -> list[Map]:
        """`(h, w)` 0 or 1, the skin of each face that is visible."""
        return skin_masks(self.faces.faces, self.scale, self.size)

    @cached_property
    def skin(self) -> Map:
        """`(h, w)` 0 or 1, the skin of all faces that are visible."""
        if not self.skins:
            return np.zeros(self.mask.shape, np.float32)
        return np.asarray(np.max(self.skins, axis=0), np.float32)
