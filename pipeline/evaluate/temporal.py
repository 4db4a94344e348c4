"""Flicker and lag of an engine on a clip.

What moves in the input is followed by optical flow of the *input*, so that every engine is judged
along the same flow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from cv2.typing import MatLike

from vcam_relight.pipeline.core.color import DECODE_8BIT, LUMINANCE_RGB
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.evaluate.metrics import Mask
from vcam_relight.pipeline.face.types import FaceState

_CONSISTENT = 1.0
"""Pixels between a point and where flow forth and back leads; beyond, it is hidden in one frame."""
_PERSON = 0.5
_DARKEST = 1e-3
"""Linear light added before logarithms: three steps of 8 bits near black."""
_TOE = 0.055 * 255
"""Levels that make a gain of linear light a gain of coded values (sRGB)."""
_GAIN_SIGMA = 3.0
"""Pixels; light changes are smooth, noise is not."""
_ARRIVED = 0.9
"""Share of a light change that must be on the image."""


@dataclass(frozen=True, slots=True)
class _FlowStep:
    """From one frame to the next."""

    back: FloatArray
    """`(H, W, 2)` where each pixel was in the frame before, in pixels."""
    seen: Mask
    """Pixels of the person that both frames show."""


@dataclass(frozen=True, slots=True)
class ClipFlow:
    """How a clip's pixels move, and where its face is."""

    images: Sequence[BgrImage]
    steps: tuple[_FlowStep, ...]
    """One fewer than images."""
    faces: tuple[Mask, ...]
    """Per frame; empty where no face was found."""


def estimate_flow(images: Sequence[BgrImage], states: Sequence[FaceState]) -> ClipFlow:
    """Computes the optical flow (OpenCV DIS) of a clip.

    What is hidden in one of two frames is masked by going forth and back.

    Args:
        images: `(H, W, 3)` BGR frames of one size.
        states: what the tracker found in each.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grays = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in images]
    height, width = grays[0].shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    steps = []
    for index in range(1, len(grays)):
        backward = _flow(dis, grays[index], grays[index - 1])
        forward = _flow(dis, grays[index - 1], grays[index])
        back = np.stack([x + backward[..., 0], y + backward[..., 1]], axis=-1)
        returned = backward + _warp(forward, back)
        inside = (back >= 0).all(axis=2) & (back[..., 0] < width) & (back[..., 1] < height)
        person = cv2.resize(states[index].mask, (width, height)) > _PERSON
        seen = inside & (np.hypot(returned[..., 0], returned[..., 1]) < _CONSISTENT) & person
        steps.append(_FlowStep(back, seen))
    faces = tuple(_face_mask(state, (height, width)) for state in states)
    return ClipFlow(images, tuple(steps), faces)


def warping_error(outputs: Sequence[BgrImage], flow: ClipFlow) -> float:
    """Mean squared difference of each frame to the frame before, warped onto it.

    It is taken over the person's pixels that both show, in sRGB-encoded values over the person's
    mean, so that a darker image is not a calmer one.
    """
    return _error([image.astype(np.float32) for image in outputs[1:]], outputs, flow)


def steady_warping_error(outputs: Sequence[BgrImage], flow: ClipFlow) -> float:
    """The `warping_error` of a light change that only moves along with the person.

    Each frame's light change is the frame before's, warped along the flow: what is left is the
    input's own flicker, as the new light shows it, and errors of the flow.
    """
    steady = []
    frames = zip(flow.images[:-1], flow.images[1:], outputs[:-1], flow.steps, strict=True)
    for last, this, lit, step in frames:
        gain = _warp(_smooth(lit) / _smooth(last), step.back)
        steady.append(np.clip((this + np.float32(_TOE)) * gain - np.float32(_TOE), 0, 255))
    return _error(steady, outputs, flow)


def _error(shown: Sequence[FloatArray], outputs: Sequence[BgrImage], flow: ClipFlow) -> float:
    """Of frames from the second on against the outputs before them."""
    errors, levels, count = 0.0, 0.0, 0
    for last, this, step in zip(outputs[:-1], shown, flow.steps, strict=True):
        if not step.seen.any():
            continue
        now = this[step.seen]
        difference = now - _warp(last.astype(np.float32), step.back)[step.seen]
        errors += float((difference * difference).sum())
        levels += float(now.sum())
        count += now.size
    if not count or levels == 0:
        return 0.0
    return errors / count / (levels / count) ** 2


def luminance_jitter(outputs: Sequence[BgrImage], flow: ClipFlow) -> float:
    """Standard deviation of the change from frame to frame of the face's mean log luminance."""
    means = [
        float(np.log(_luminance(image[mask]) + _DARKEST).mean())
        for image, mask in zip(outputs, flow.faces, strict=True)
        if mask.any()
    ]
    return float(np.std(np.diff(means))) if len(means) > 2 else 0.0


def lag(
    before: Sequence[BgrImage],
    after: Sequence[BgrImage],
    switched: Sequence[BgrImage],
    start: int,
    flow: ClipFlow,
) -> int | None:
    """Frames until 90% of a light change is on the image; 0: with the first frame.

    Args:
        before: the method's outputs on the clip under the first light.
        after: its outputs under the second light.
        switched: its outputs when the light changes at frame `start`.
        start: index of that frame.
        flow: of the clip.

    Returns:
        None when the two lights look alike; the number of frames left after `start` when the
        change never arrives.
    """
    for index in range(start, len(switched)):
        mask = flow.faces[index]
        if not mask.any():
            continue
        origin = before[index][mask].astype(np.float32)
        whole = after[index][mask] - origin
        length = float((whole * whole).sum())
        if length < origin.size:  # one level
            return None
        if float(((switched[index][mask] - origin) * whole).sum()) / length >= _ARRIVED:
            return index - start
    return len(switched) - start


def _flow(dis: cv2.DISOpticalFlow, source: MatLike, target: MatLike) -> FloatArray:
    """`(H, W, 2)` how far each pixel of `source` moves to where it is in `target`."""
    return np.asarray(dis.calc(source, target, np.zeros((*source.shape, 2), np.float32)))


def _warp(image: FloatArray, places: FloatArray) -> FloatArray:
    """`image` sampled at `(H, W, 2)` places in pixels."""
    x, y = np.ascontiguousarray(places[..., 0]), np.ascontiguousarray(places[..., 1])
    warped = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)


def _smooth(image: BgrImage) -> FloatArray:
    """Where a light change can be read from the quotient of two images."""
    lifted = image + np.float32(_TOE)
    return np.asarray(cv2.GaussianBlur(lifted, (0, 0), _GAIN_SIGMA), np.float32)


def _luminance(pixels: BgrImage) -> FloatArray:
    result: FloatArray = DECODE_8BIT[pixels] @ LUMINANCE_RGB[::-1]
    return result


def _face_mask(state: FaceState, shape: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, np.uint8)
    for face in state.faces:
        if face.visible:
            hull = cv2.convexHull(np.round(face.landmarks[:, :2]).astype(np.int32))
            cv2.fillConvexPoly(mask, hull, 1)
    return mask.astype(bool)
