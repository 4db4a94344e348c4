"""A head seen from elsewhere: a camera to its side, or at the level of its eyes."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.head.space import HeadPose


@dataclass(frozen=True, slots=True)
class ViewParams:
    """How far a head may be turned."""

    yaw: float = 14.0
    pitch: float = 12.0
    """Degrees that a view nears and never passes. At 20 degrees to the side a twentieth of the
    head's image was hidden, so that blurred fillings show, and the fading outline squeezes the far
    cheek; from above and below it begins sooner, as chin and neck part."""
    exact: float = 0.6
    """Fraction of the limits up to which angles are followed exactly: most of eye-level
    correction."""


_PARAMS = ViewParams()
_CENTRE = np.array([0.0, -0.04, -0.5], np.float32)
"""dm in head space, of what views turn about, as in `lightstage.framing`: between the ears, so that
the skull's outline stays where it is."""


@dataclass(frozen=True, slots=True)
class NovelView:
    """A head seen from elsewhere, in the crop of the frame."""

    source: HeadPose
    """As the frame shows it; a batch of one."""
    pose: HeadPose
    """As it is to be seen: what the volume is rendered with."""
    back: FloatArray
    """`(3, 3)` from the axes of the view to the frame's."""
    centre: FloatArray
    """`(3,)` dm from the head's origin, in the frame's axes and the view's alike."""
    degrees: float
    """How far it is turned."""

    @staticmethod
    def of(
        pose: HeadPose, yaw: float, pitch: float, params: ViewParams = _PARAMS
    ) -> "NovelView | None":
        """The view of a head; None for no turn.

        Args:
            pose: of the head in the frame's crop, a batch of one.
            yaw: degrees; positive moves the camera to the right of the image.
            pitch: degrees; positive moves the camera up.
            params: up to where angles are followed exactly; more is bent towards the limits.
        """
        yaw = _limited(yaw, params.yaw, params.exact)
        pitch = _limited(pitch, params.pitch, params.exact)
        if yaw == 0 and pitch == 0:
            return None
        a, e = math.radians(yaw), math.radians(pitch)
        aside = [[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]]
        above = [[1, 0, 0], [0, math.cos(e), math.sin(e)], [0, -math.sin(e), math.cos(e)]]
        back = (np.array(aside) @ np.array(above)).astype(np.float32)
        turn = torch.from_numpy(back.T.copy())
        centre = pose.rotation[0] @ torch.from_numpy(_CENTRE)
        origin = centre - turn @ centre
        shift = pose.shift + origin[:2] * torch.tensor([1.0, -1.0]) * pose.scale[:, None]
        shown = HeadPose(turn @ pose.rotation, pose.scale, shift)
        return NovelView(pose, shown, back, centre.numpy(), math.hypot(yaw, pitch))

    def points(self, depth: Map) -> tuple[FloatArray, FloatArray]:
        """The points that the view's crop shows.

        Args:
            depth: `(n, n)` dm from the frame's origin towards the view's camera.

        Returns:
            `(n, n, 3)` dm in the view's axes, and the same points in the frame's.
        """
        line = (np.arange(len(depth), dtype=np.float32) + 0.5) * np.float32(2 / len(depth)) - 1
        x, y = ((line - float(s)) / float(self.source.scale[0]) for s in self.source.shift[0])
        across = np.broadcast_to(x, depth.shape), np.broadcast_to(-y[:, None], depth.shape)
        view = np.stack([*across, depth], axis=-1) - self.centre
        frame = view @ self.back.T
        return view + self.centre, frame + self.centre

    @property
    def nearer(self) -> float:
        """Dm by which the turn brings the head's origin towards the camera."""
        return float((self.centre - self.back.T @ self.centre)[2])


def _limited(degrees: float, limit: float, exact: float) -> float:
    knee = exact * limit
    if abs(degrees) <= knee:
        return degrees
    room = limit - knee
    return math.copysign(knee + room * math.tanh((abs(degrees) - knee) / room), degrees)
