"""What is seen behind people: their room as it is, blurred, dimmed, grey, a colour, a picture.

The last step of a frame. Where the mask is sure of a person the frame's pixels stay bit for bit.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from vcam_relight.pipeline.compositing.guided_filter import Matte, MatteParams
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, GrayImage
from vcam_relight.pipeline.core.resample import quick_resize, resize
from vcam_relight.pipeline.face.frame_context import analysis_size
from vcam_relight.pipeline.face.types import FaceState

BackdropKind = Literal["keep", "blur", "dim", "gray", "color", "picture"]
_MATTE = MatteParams(foreground=0.7, background=0.3, certain=0.2)
_MIXED = 4
"""One over the share of a person in a pixel from which it is no part of a blurred room."""
BACKDROPS: tuple[BackdropKind, ...] = get_args(BackdropKind)


@dataclass(frozen=True, slots=True)
class BackdropParams:
    """How the edge is found, and how far effects go."""

    side: int = 256
    """Pixels on the longer side of the image that the mask is fitted to."""
    matte: MatteParams = _MATTE
    """Nearer to the mask than a light's matte: what is left of a room shows more than its light."""
    shrink: int = 8
    """Blurs and colours behind the edge are worked out at so many times fewer pixels a side."""
    blur: tuple[float, float] = (0.004, 0.03)
    """Standard deviation of the blur at amounts of 0 and 1, over the frame's longer side."""
    reach: float = 0.02
    """Over the frame's longer side: how far around an edge its sides' colours are sought."""
    darkest: float = 0.1
    """What is left of the room's encoded values at an amount of 1."""


_PARAMS = BackdropParams()


@dataclass(frozen=True, slots=True, eq=False)
class Backdrop:
    """What is asked for."""

    kind: BackdropKind = "keep"
    amount: float = 0.5
    """0..1: of blur, dim and gray."""
    color: tuple[int, int, int] = (0, 0, 0)
    """RGB of 0..255, sRGB."""
    picture: BgrImage | None = None
    """`(h, w, 3)` of any size: it fills the frame and is cut where it is too wide or too high."""

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return self.kind != "keep" and not (self.kind == "picture" and self.picture is None)


KEEP = Backdrop()


class BackdropCompositor:
    """Puts backdrops behind the people of one stream; for one thread at a time."""

    def __init__(self, params: BackdropParams = _PARAMS) -> None:
        self._params = params
        self._fitted: tuple[BgrImage, BgrImage] | None = None
        """A picture, and as large as frames are."""

    def apply(self, shown: BgrImage, faces: FaceState, backdrop: Backdrop) -> BgrImage:
        """The picture with another backdrop; a new image.

        Args:
            shown: `(H, W, 3)` what is shown of a frame; not written to.
            faces: the people in the frame; their mask says who stays.
            backdrop: one that changes something.
        """
        alpha = self._matte(shown, faces)
        room = self._room(shown, alpha, backdrop)
        cv2.copyTo(shown, cv2.inRange(alpha, 255, 255), room)
        found = cv2.findNonZero(cv2.inRange(alpha, 1, 254))
        if found is not None:
            places = np.asarray(found, np.intp).reshape(-1, 2)
            edge = places[:, 1] * alpha.shape[1] + places[:, 0]
            pixels = room.reshape(-1, 3)
            replaces = backdrop.kind in ("color", "picture")
            own = self._foreground(shown, alpha, edge) if replaces else shown.reshape(-1, 3)[edge]
            share = alpha.reshape(-1, 1)[edge] * np.float32(1 / 255)
            mixed = pixels[edge] * (1 - share) + own * share
            pixels[edge] = np.clip(mixed + np.float32(0.5), 0, 255)
        return room

    def _matte(self, shown: BgrImage, faces: FaceState) -> GrayImage:
        """`(H, W)` of 255, how much of a pixel is a person's, its edge as fine as the frame's."""
        height, width = shown.shape[:2]
        grid = analysis_size(width, height, self._params.side)
        luma = cv2.cvtColor(quick_resize(faces.small, grid), cv2.COLOR_BGR2GRAY)
        matte = Matte.of(resize(faces.mask, grid), np.asarray(luma, np.uint8), self._params.matte)
        half = (max(1, width // 2), max(1, height // 2))
        guide = cv2.cvtColor(quick_resize(faces.small, half), cv2.COLOR_BGR2GRAY)
        alpha = cv2.multiply(guide, resize(matte.a, half), scale=1 / 255, dtype=cv2.CV_32F)
        alpha = cv2.add(alpha, resize(matte.b, half))
        levels = np.clip(np.asarray(alpha, np.float32) * 255 + np.float32(0.5), 0, 255)
        return resize(levels.astype(np.uint8), (width, height))

    def _room(self, shown: BgrImage, alpha: GrayImage, backdrop: Backdrop) -> BgrImage:
        """`(H, W, 3)` all of the backdrop, a new image."""
        amount, height, width = np.float32(backdrop.amount), *shown.shape[:2]
        match backdrop.kind:
            case "blur":
                return self._blurred(shown, alpha, float(amount))
            case "dim":
                rest = 1 - amount * (1 - self._params.darkest)
                return np.asarray(cv2.convertScaleAbs(shown, alpha=float(rest)), np.uint8)
            case "gray":
                luma = cv2.cvtColor(cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
                mixed = cv2.addWeighted(luma, float(amount), shown, float(1 - amount), 0)
                return np.asarray(mixed, np.uint8)
            case "picture" if backdrop.picture is not None:
                return self._filling(backdrop.picture, (width, height)).copy()
        return np.full_like(shown, backdrop.color[::-1])

    def _blurred(self, shown: BgrImage, alpha: GrayImage, amount: float) -> BgrImage:
        """The room without its people, out of focus: nobody's colours run into it."""
        height, width = shown.shape[:2]
        size, longer = self._small(shown), max(height, width)
        low, high = self._params.blur
        sigma = (low + (high - low) * amount) * longer / self._params.shrink
        # Of pixels that are partly somebody's little counts.
        room = np.clip(1 - quick_resize(alpha, size) * np.float32(_MIXED / 255), 0, 1)
        colors = quick_resize(shown, size).astype(np.float32)
        blurred = _weighted_blur(colors, room, sigma)
        return resize(np.clip(blurred + 0.5, 0, 255).astype(np.uint8), (width, height))

    def _foreground(
        self, shown: BgrImage, alpha: GrayImage, where: "np.ndarray[tuple[int], np.dtype[np.intp]]"
    ) -> FloatArray:
        """`(n, 3)` the person's own colours at an edge, without the room behind it.

        Forte and Pitié 2021: both sides' colours are blurred over the edge, and what the mixture of
        them does not explain is the person's.
        """
        height, width = shown.shape[:2]
        size = self._small(shown)
        sigma = self._params.reach * max(height, width) / self._params.shrink
        person = quick_resize(alpha, size) * np.float32(1 / 255)
        colors = quick_resize(shown, size).astype(np.float32)
        sides = (_weighted_blur(colors, one, sigma) for one in (person, 1 - person))
        own, room = (resize(one, (width, height)).reshape(-1, 3)[where] for one in sides)
        share = alpha.reshape(-1, 1)[where] * np.float32(1 / 255)
        rest = shown.reshape(-1, 3)[where] - share * own - (1 - share) * room
        return np.asarray(np.clip(own + share * rest, 0, 255), np.float32)

    def _small(self, shown: BgrImage) -> tuple[int, int]:
        height, width = shown.shape[:2]
        shrink = self._params.shrink
        return max(1, width // shrink), max(1, height // shrink)

    def _filling(self, picture: BgrImage, size: tuple[int, int]) -> BgrImage:
        known = self._fitted
        if known is None or known[0] is not picture or known[1].shape[1::-1] != size:
            known = self._fitted = picture, _filled(picture, size)
        return known[1]


def _weighted_blur(colors: FloatArray, weight: FloatArray, sigma: float) -> FloatArray:
    """`(h, w, 3)` mean colours around each pixel, of those that count: `weight` `(h, w)` 0..1."""
    weight = weight + np.float32(1e-3)  # where nothing counts, all does
    sums = cv2.GaussianBlur(colors * weight[..., None], (0, 0), sigma)
    weights = cv2.GaussianBlur(weight, (0, 0), sigma)
    return np.asarray(sums / weights[..., None], np.float32)


def _filled(picture: BgrImage, size: tuple[int, int]) -> BgrImage:
    """The middle of a picture, as large as `size` says."""
    height, width = picture.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    across, down = min(width, round(size[0] / scale)), min(height, round(size[1] / scale))
    left, top = (width - across) // 2, (height - down) // 2
    part = picture[top : top + max(down, 1), left : left + max(across, 1)]
    return np.ascontiguousarray(resize(part, size))
