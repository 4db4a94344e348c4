"""EG3D's crop of a photograph, and the way back.

As in eg3d/dataset_preprocessing/ffhq/crop_images_in_the_wild.py (Chan et al. 2022): five points of
the face and their standard places on the Basel Face Model (Deep3DFaceRecon, Deng et al. 2019) give
place and scale by weak perspective; the image is scaled to 300 pixels a unit, and the middle 700
of them become 512. Nothing is turned: how the head is turned is the camera's matter.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map, RgbImage
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.window import Window
from vcam_relight.pipeline.face.types import Face

_POINTS = ((33, 133), (263, 362), (4,), (61,), (291,))
"""Landmarks whose mean is each of the five points: the middle between an eye's corners, for both
eyes, the nose's tip and the corners of the mouth; the person's right side first."""
TEMPLATE = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ],
    np.float32,
)
"""`(5, 3)` their standard places: x right, y up, z to the camera."""
UNITS = 700 / 300
"""The crop's side in units of the template."""


@dataclass(frozen=True, slots=True)
class PasteParams:
    """How a relit crop fades into the frame."""

    margin: float = 0.08
    """Fraction of the crop's side, from its edges inwards, over which the new image fades in."""
    inside: float = 0.85
    outside: float = 0.35
    """Mask values taken as 1 and as 0: the mask's edge is wider than the person's."""


_PARAMS = PasteParams()


@dataclass(frozen=True, slots=True)
class Square:
    """An upright square in pixels of the frame; may reach beyond it."""

    x: float
    """Of its middle."""
    y: float
    side: float

    @staticmethod
    def around(landmarks: FloatArray, units: float = UNITS) -> "Square":
        """The crop for a face with `(468, 3)` landmarks, of a side in units of the template."""
        points = five_points(landmarks)
        # Affine from the template to the image, least squares: 4 unknowns for x, 4 for y.
        known = np.column_stack([TEMPLATE, np.ones(5)])
        solution = np.linalg.lstsq(known, points * [1, -1], rcond=None)[0]
        scale = float(np.linalg.norm(solution[:3], axis=0).mean())
        return Square(float(solution[3, 0]), -float(solution[3, 1]), units * scale)

    def to_crop(self, points: FloatArray, size: int) -> FloatArray:
        """`(n, 2)` points of the frame in a crop of that size."""
        corner = np.array([self.x, self.y], np.float32) - np.float32(self.side / 2)
        return np.asarray((points - corner) * np.float32(size / self.side), np.float32)

    def cut(self, frame: BgrImage, size: int) -> RgbImage:
        """`(size, size, 3)` pixels of the square; what is outside the frame is mirrored."""
        full = max(size, round(self.side))  # shrinking needs a filter that warping has not
        crop = cv2.warpAffine(
            frame,
            self._from_crop(full),
            (full, full),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        resized = resize(np.asarray(crop, np.uint8), (size, size))
        return np.asarray(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB), np.uint8)

    def window(self, frame_size: tuple[int, int]) -> Window | None:
        """The part of a frame of that width and height that the square covers; None for none."""
        width, height = frame_size
        left, top = (max(int(np.floor(v - self.side / 2)), 0) for v in (self.x, self.y))
        right = min(int(np.ceil(self.x + self.side / 2)), width)
        bottom = min(int(np.ceil(self.y + self.side / 2)), height)
        return Window(left, top, right, bottom) if left < right and top < bottom else None

    def resample(self, crop: FloatArray, window: Window) -> FloatArray:
        """A crop `(size, size, 3)` at the pixels of a window of the frame: `(h, w, 3)`."""
        full = min(crop.shape[0], max(round(self.side), 1))
        crop = resize(crop, (full, full))
        matrix = self._from_crop(full)
        matrix[:, 2] -= (window.left, window.top)
        size = (window.right - window.left, window.bottom - window.top)
        resampled = cv2.warpAffine(
            crop, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(resampled, np.float32)

    def edges(self, window: Window, params: PasteParams = _PARAMS) -> Map:
        """`(h, w)` 0..1 for the pixels of a window: 0 at the square's edges and outside."""
        across = np.arange(window.left, window.right, dtype=np.float32) + 0.5 - self.x
        along = np.arange(window.top, window.bottom, dtype=np.float32) + 0.5 - self.y
        ramps = [
            np.clip((self.side / 2 - np.abs(distance)) / (params.margin * self.side), 0, 1)
            for distance in (along, across)
        ]
        return np.asarray(np.multiply.outer(ramps[0], ramps[1]), np.float32)

    def _from_crop(self, size: int) -> FloatArray:
        """`(2, 3)` from pixels of a crop of that size to those of the frame.

        Centres of pixels are whole numbers, as OpenCV has them.
        """
        scale = self.side / size
        shift = np.array([self.x, self.y]) - self.side / 2 + scale / 2 - 0.5
        return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)


def largest(faces: tuple[Face, ...]) -> Face:
    """The face of one or more that is the highest in the image."""
    return max(faces, key=lambda face: float(np.ptp(face.landmarks[:, 1])))


def five_points(landmarks: FloatArray) -> FloatArray:
    """`(5, 2)` the points of `TEMPLATE` among landmarks `(468, 3)`, in pixels, y down."""
    points = [landmarks[list(group), :2].mean(axis=0) for group in _POINTS]
    return np.asarray(points, np.float32)


def person_coverage(
    mask: Map, frame_size: tuple[int, int], window: Window, params: PasteParams = _PARAMS
) -> Map:
    """`(h, w)` 0..1 for a window of a frame: how much of a pixel is a person's.

    Args:
        mask: `(h, w)` 0..1, stretched over the whole frame.
        frame_size: width and height of the frame.
        window: of the frame.
        params: which mask values are the person's.
    """
    part = resize(mask, frame_size)[window.slices]
    width = params.inside - params.outside
    coverage = np.clip((part - params.outside) * np.float32(1 / width), 0.0, 1.0)
    return np.asarray(coverage, np.float32)


def paste(
    frame: BgrImage,
    square: Square,
    image: FloatArray,
    alpha: Map,
    crop: RgbImage | None,
) -> BgrImage:
    """The frame with a new image of the square in it.

    Where the frame is finer than the crop was, its detail stays: what is added to the frame is the
    difference of the new image to the crop it was made from.

    Args:
        frame: `(H, W, 3)`.
        square: where the image belongs.
        image: `(n, n, 3)` RGB, sRGB-encoded, 0..255.
        alpha: `(h, w)` 0..1 over the square's window, of the new image.
        crop: `(m, m, 3)` what `image` was made from; None where it shows another view, which
            takes the frame's place.

    Returns:
        A new image; where `alpha` is 0 its pixels are the frame's.
    """
    height, width = frame.shape[:2]
    window = square.window((width, height))
    if window is None:
        return frame
    pixels = frame[window.slices].astype(np.float32)
    if crop is None:
        change = square.resample(image, window)[..., ::-1] - pixels
    else:
        before = resize(crop, (image.shape[1], image.shape[0])).astype(np.float32)
        change = square.resample(image - before, window)[..., ::-1]
    pixels += change * alpha[..., None]
    out = frame.copy()
    out[window.slices] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return out
