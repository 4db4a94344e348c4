"""How much light is on the faces of a frame, and of what colour, learned from rooms.

A face that is dark in an image may be dark skin in good light or light skin in the dark. What tells
them apart is around it: the whites of the eyes, clothes and hair, the room, what is brightest. A
small network has learned to weigh these (`pipeline.train.light_level`).
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from vcam_relight.pipeline.core.color import DECODE_8BIT, LUMINANCE_RGB
from vcam_relight.pipeline.core.image import FloatArray, LinearRgb
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.core.resources import CHECKPOINTS, read_checked
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.types import Face

SHIPPED = CHECKPOINTS / "light_level.safetensors"


@dataclass(frozen=True, slots=True)
class LevelFeatureParams:
    """What of a frame is looked at."""

    least_skin: int = 20
    """Pixels at the analysis resolution below which nothing is told."""
    least_around: int = 50
    """Pixels of the room, or of hair and clothes, below which the whole frame stands for them."""
    background: float = 0.2
    person: float = 0.8
    """Mask values below and above which a pixel counts as the room's and as the person's."""
    least_eye: int = 8
    """Pixels of the frame that an eye must cover."""
    white: tuple[float, float] = (0.6, 0.92)
    """Share of an eye's pixels, by brightness, between which its white is: above it shines."""
    patchwork: tuple[float, float] = (0.35, 0.7)
    """By how much red over blue differs between a face's upper and lower half (natural logarithm),
    up to which both are skin and from which they are not: beards make 0.2."""
    black: float = 2e-4
    """Linear light that darkness counts as."""


_PARAMS = LevelFeatureParams()
_EYES = (
    [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7],
    [362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382],
)  # the openings of the eyes in the face mesh


@dataclass(frozen=True, slots=True)
class LevelFeatures:
    """What tells the light's level."""

    values: FloatArray
    """`(n,)` natural logarithms of linear light, most of them relative to the skin's."""
    skin: FloatArray
    """`(3,)` RGB mean linear light of the skin."""
    skin_trust: float
    """0..1, whether it is skin all over: a mask on half of a face tells nothing of the light."""


def level_features(
    context: FrameContext, params: LevelFeatureParams = _PARAMS
) -> LevelFeatures | None:
    """What a frame shows of its light's level; None where too little skin is seen."""
    skin = context.skin > 0
    if int(skin.sum()) < params.least_skin:
        return None
    linear, mask = context.image.linear, context.mask
    light = linear @ LUMINANCE_RGB
    room, person = mask < params.background, (mask > params.person) & ~skin
    everything = np.ones(mask.shape, bool)
    if int(room.sum()) < params.least_around:
        room = everything
    if int(person.sum()) < params.least_around:
        person = everything

    def log(values: FloatArray) -> FloatArray:
        return np.log(np.maximum(values, np.float32(params.black)))

    def levels(where: NDArray[np.bool_], *percent: int) -> FloatArray:
        return log(np.percentile(light[where], percent).astype(np.float32))

    mean = linear[skin].mean(axis=0)
    colour, level = log(mean), log(mean @ LUMINANCE_RGB)
    dark, middle, bright = levels(skin, 5, 50, 95)
    whites = _eye_whites(context, params)
    values: list[FloatArray] = [
        np.array(
            [level, colour[0] - colour[1], colour[2] - colour[1], dark - middle, bright - middle]
        ),
        levels(everything, 10, 50, 90, 99) - level,
        log(linear[room].mean(axis=0)) - colour,
        levels(room, 50, 90) - level,
        log(linear[person].mean(axis=0)) - colour,
        levels(person, 5, 50, 95) - level,
        np.zeros(3, np.float32) if whites is None else log(whites) - colour,
    ]
    row = np.median(np.flatnonzero(skin) // skin.shape[1])
    upper = skin & (np.arange(len(skin))[:, None] < row)
    halves = [log(linear[half].mean(axis=0)) for half in (upper, skin & ~upper) if half.any()]
    unlike = float(np.ptp([half[0] - half[2] for half in halves]))
    trust = 1 - float(smoothstep(*params.patchwork, unlike))
    return LevelFeatures(np.concatenate(values).astype(np.float32), mean, trust)


def _eye_whites(context: FrameContext, params: LevelFeatureParams) -> FloatArray | None:
    """`(3,)` RGB mean linear light of the whites of all eyes; None where none is large enough."""
    whites = [
        white
        for face in context.faces.faces
        if face.visible
        for eye in _EYES
        if (white := _white(context, face, eye, params)) is not None
    ]
    return np.mean(whites, axis=0) if whites else None


def _white(
    context: FrameContext, face: Face, outline: list[int], params: LevelFeatureParams
) -> FloatArray | None:
    points = np.round(face.landmarks[outline, :2]).astype(np.int32)
    height, width = context.frame.shape[:2]
    left, top = np.maximum(points.min(axis=0), 0)
    right, bottom = np.minimum(points.max(axis=0) + 1, (width, height))
    if right <= left or bottom <= top:
        return None
    inside = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(inside, [points - (left, top)], 1)
    pixels: LinearRgb = DECODE_8BIT[context.frame[top:bottom, left:right][inside > 0]][:, ::-1]
    if len(pixels) < params.least_eye:
        return None
    order = np.argsort(pixels @ LUMINANCE_RGB, kind="stable")
    low, high = (int(share * len(order)) for share in params.white)
    return np.asarray(pixels[order[low : high + 1]].mean(axis=0), np.float32)


@dataclass(frozen=True, slots=True)
class LightLevelModel:
    """Two layers, from `LevelFeatures.values` to the light's level."""

    mean: FloatArray
    scale: FloatArray
    """`(n,)` features less the mean over the scale are cut off at `reach`..."""
    reach: float
    """...so that a picture like none before says no more than the oddest that was learned from."""
    first: FloatArray
    first_bias: FloatArray
    last: FloatArray
    last_bias: FloatArray
    """`(n, m)`, `(m,)`, `(m, 3)`, `(3,)`, with the hyperbolic tangent in between."""

    def log_gain(self, values: FloatArray) -> FloatArray:
        """`(..., 3)` RGB natural logarithm of the gain that brings the skin to good exposure.

        It takes it to what it is in a well exposed picture under white light.

        Args:
            values: `(..., n)`.
        """
        seen = np.clip((values - self.mean) / self.scale, -self.reach, self.reach)
        hidden = np.tanh(seen @ self.first + self.first_bias)
        return np.asarray(hidden @ self.last + self.last_bias, np.float32)


def parse_model(content: bytes) -> LightLevelModel:
    """The network in the bytes of a `.safetensors` file.

    Raises:
        RuntimeError: it is damaged or of another version.
    """
    try:
        tensors = load(content)
        reach = float(tensors.pop("reach")[0])
        return LightLevelModel(reach=reach, **tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
        raise RuntimeError(f"the light level's weights are damaged: {error}") from error


@cache
def shipped_model(path: Path = SHIPPED) -> LightLevelModel:
    """The network that comes with the program.

    Raises:
        OSError: the file is missing.
        RuntimeError: it is not the file that was tested.
    """
    return parse_model(read_checked(path))
