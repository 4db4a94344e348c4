"""What is behind the person: rooms, walls, photographs, lit as the person is."""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.color import DECODE_8BIT, luminance
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.face.segmenter import PersonSegmenter
from vcam_relight.pipeline.lighting.light_map import LightMap, to_sh
from vcam_relight.pipeline.lighting.sh import irradiance

_WORK = 256
"""Photographs are kept at this many rows: they lie out of focus anyway."""
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
LEAST_WHITE = 0.15
"""Of the mean radiance, which a white surface sends back at least: light comes round."""
_TOWARDS_CAMERA = np.array([0, 0, 1], np.float32)


class Photographs:
    """A folder of images, of which only what is beside the people in them is used."""

    def __init__(self, folder: Path) -> None:
        """Lists the folder.

        Raises:
            OSError: the folder cannot be read.
            ValueError: it holds no JPEG, PNG or WebP images.
        """
        self._paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
        if not self._paths:
            raise ValueError(f"{folder} holds no JPEG, PNG or WebP images")
        self._segmenter = PersonSegmenter()
        self._load = lru_cache(maxsize=64)(self._read)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> FloatArray:
        """`(h, w, 3)` linear RGB without its people, at most 256 rows.

        Raises:
            ValueError: the file is damaged.
        """
        return self._load(index)

    def _read(self, index: int) -> FloatArray:
        path = self._paths[index]
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"{path} is damaged or not an image")
        width = max(16, round(image.shape[1] * _WORK / image.shape[0]))
        small = np.asarray(
            cv2.resize(image, (width, _WORK), interpolation=cv2.INTER_AREA), np.uint8
        )
        linear = cv2.LUT(small, DECODE_8BIT)[..., ::-1]
        return without_people(np.ascontiguousarray(linear, np.float32), self._people(small))

    def _people(self, image: BgrImage) -> NDArray[np.bool_]:
        mask = self._segmenter.segment(image)
        full = np.asarray(cv2.resize(mask, image.shape[1::-1]), np.float32)
        grown = cv2.dilate((full > 0.15).astype(np.uint8), np.ones((15, 15), np.uint8))
        return np.asarray(grown, np.bool_)


def without_people(image: FloatArray, people: NDArray[np.bool_]) -> FloatArray:
    """What is beside the people, mirrored inwards until both sides meet where they were.

    Painting them over instead leaves a blurred person's outline, which face detectors still find.

    Args:
        image: `(H, W, 3)`.
        people: `(H, W)`, a margin around them included.

    Returns:
        `(h, W, 3)`: as many rows from the top as leave most to both sides; all of them if there are
        no people; one colour if there is nothing beside them.
    """
    height, width = people.shape
    # columns that are free at the left and right in this row and all above
    left = np.minimum.accumulate(np.where(people.any(1), people.argmax(1), width))
    right = np.minimum.accumulate(np.where(people.any(1), people[:, ::-1].argmax(1), width))
    free = np.arange(1, height + 1) * np.minimum(left + right, width)
    rows = int(free.argmax()) + 1
    first, last = int(left[rows - 1]), int(right[rows - 1])
    if first == width:
        return image
    smallest = max(2, width // 12)
    sides = []
    if first >= smallest:
        sides.append(_mirrored(image[:rows, :first], width))
    if last >= smallest:
        sides.append(_mirrored(image[:rows, ::-1][:, :last], width)[:, ::-1])
    if not sides:
        return np.broadcast_to(image.mean((0, 1)), image.shape).astype(np.float32)
    across = np.clip((np.linspace(0, 1, width, dtype=np.float32) - 0.4) / 0.2, 0, 1)[:, None]
    result: FloatArray = (1 - across) * sides[0] + across * sides[-1]
    return result


def _mirrored(strip: FloatArray, width: int) -> FloatArray:
    """`(h, width, 3)`: a strip `(h, w, 3)`, its mirror image, and so on."""
    own = strip.shape[1]
    place = np.arange(width) % (2 * own)
    return strip[:, np.where(place < own, place, 2 * own - 1 - place)]


def sample_backdrop(
    rng: np.random.Generator,
    size: tuple[int, int],
    light: LightMap,
    focal: float,
    photographs: Photographs | None = None,
) -> FloatArray:
    """Draws what is behind the person in one clip.

    Args:
        rng: the only source of chance.
        size: height and width.
        light: what the person is lit by; the backdrop gets its brightness and colour from it.
        focal: the camera's, in image heights; how much of the surroundings is seen.
        photographs: images to use for about half of all backdrops.

    Returns:
        `(H, W, 3)` float32 linear RGB in the render's units.
    """
    choice = float(rng.random())
    if photographs is not None and choice < 0.5:
        return _photograph(rng, size, light, photographs[int(rng.integers(len(photographs)))])
    makers: list[Callable[[], FloatArray]] = [
        lambda: _wall(rng, size, light),
        lambda: _furnished(rng, size, light),
        lambda: _furnished(rng, size, light),
        lambda: surroundings(light, size, focal),
    ]
    return makers[int(rng.integers(len(makers)))]()


def surroundings(radiance: FloatArray, size: tuple[int, int], focal: float) -> FloatArray:
    """What a camera in front of the person sees of an environment behind, out of focus.

    Args:
        radiance: `(R, 2R, 3)` environment in the convention of `pipeline.lighting.hdri`.
        size: height and width of the image.
        focal: in image heights.

    Returns:
        `(H, W, 3)` radiance.
    """
    height, width = size
    rows, columns = radiance.shape[:2]
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / (focal * height)
    y = (height / 2 - np.arange(height, dtype=np.float32) - 0.5) / (focal * height)
    azimuth = np.arctan2(x, -1.0)  # behind the person, along the camera's view
    elevation = np.arctan2(y[:, None], np.hypot(x, 1))
    u = np.broadcast_to((0.5 - azimuth / math.tau) % 1 * columns - 0.5, size)
    v = (0.5 - elevation / math.pi) * rows - 0.5
    wrapped = cv2.copyMakeBorder(radiance, 2, 2, 0, 0, cv2.BORDER_REPLICATE)
    wrapped = np.concatenate([wrapped[:, -2:], wrapped, wrapped[:, :2]], axis=1)
    seen = cv2.remap(
        wrapped, (u + 2).astype(np.float32), (v + 2).astype(np.float32), cv2.INTER_LINEAR
    )
    return np.asarray(cv2.GaussianBlur(seen, (0, 0), max(0.02 * height, 0.5)), np.float32)


def white_level(light: LightMap) -> FloatArray:
    """`(3,)` what a white surface behind the person, facing the camera, sends back."""
    received = irradiance(to_sh(light), _TOWARDS_CAMERA)
    mean = light.mean((0, 1))
    return np.asarray(np.maximum(received / math.pi, LEAST_WHITE * mean), np.float32)


def _photograph(
    rng: np.random.Generator, size: tuple[int, int], light: LightMap, photograph: FloatArray
) -> FloatArray:
    height, width = size
    zoom = rng.uniform(0.55, 1.0)
    rows = min(round(photograph.shape[0] * zoom), round(photograph.shape[1] * height / width))
    columns = min(round(rows * width / height), photograph.shape[1])
    top = int(rng.integers(photograph.shape[0] - rows + 1))
    left = int(rng.integers(photograph.shape[1] - columns + 1))
    crop = np.ascontiguousarray(photograph[top : top + rows, left : left + columns])
    if rng.random() < 0.5:
        crop = crop[:, ::-1].copy()
    grown = cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR)
    grown = cv2.GaussianBlur(grown, (0, 0), height / 256 * float(rng.uniform(0.6, 5)))
    colour = white_level(light)
    tint = (colour / max(luminance(colour), 1e-6)) ** np.float32(rng.uniform(0.3, 1.0))
    level = 0.35 * luminance(colour) * 2 ** rng.normal(0, 0.7)
    scale = level / max(luminance(grown.mean((0, 1))), 0.02)
    result: FloatArray = np.asarray(grown * tint * np.float32(scale), np.float32)
    return result


def _paint(rng: np.random.Generator) -> FloatArray:
    """A surface's albedo as rooms have them: mostly pale and grey, at times a colour."""
    saturation = float(rng.beta(1.2, 4))
    vivid = rng.random(3)
    colour = (1 - saturation) + saturation * vivid / vivid.max()
    return np.asarray(colour * rng.uniform(0.08, 0.85), np.float32)


def _wall(rng: np.random.Generator, size: tuple[int, int], light: LightMap) -> FloatArray:
    """A plain wall: brighter towards where the light comes from, with a pool of light at times."""
    height, width = size
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(1, -1, height, dtype=np.float32)[:, None]
    lean = to_sh(light).mean(axis=1)
    towards = np.array([lean[3], lean[2]]) / max(float(lean[0]), 1e-6)  # x and up
    slope = np.clip(0.35 * towards, -0.4, 0.4) + rng.normal(0, 0.08, 2)
    shade = np.exp(np.float32(slope[0]) * x + np.float32(slope[1]) * y)
    if rng.random() < 0.3:
        cx, cy, r = rng.uniform(-1, 1), rng.uniform(-0.5, 1.2), rng.uniform(0.4, 1.2)
        shade = shade + np.float32(rng.uniform(0.2, 1.0)) * np.exp(
            -((x - cx) ** 2 + (y - cy) ** 2) / np.float32(2 * r * r)
        )
    distance = 2 ** rng.uniform(-1.5, 0.4)  # a wall further off gets less of the lamp
    return np.asarray(shade[..., None] * (_paint(rng) * white_level(light) * distance), np.float32)


def _furnished(rng: np.random.Generator, size: tuple[int, int], light: LightMap) -> FloatArray:
    """A wall with shelves, paintings, a door or a window, more or less out of focus."""
    height, width = size
    scene = _wall(rng, size, light)
    level = white_level(light)
    for _ in range(int(rng.integers(2, 14))):
        w, h = np.exp(rng.uniform(math.log(0.04), math.log(0.7), 2)) * (width, height)
        x, y = rng.uniform(-0.2, 1.0) * width, rng.uniform(-0.2, 1.0) * height
        box = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]) + rng.normal(
            0, 0.8, (4, 2)
        )
        colour = _paint(rng) * level * 2 ** rng.uniform(-1.5, 0.5)
        if rng.random() < 0.06:  # a window or a lamp
            colour = level * rng.uniform(2, 6)
        points = np.rint(box * 16).astype(np.int32)
        cv2.fillConvexPoly(scene, points, colour.tolist(), cv2.LINE_AA, 4)
        if rng.random() < 0.3:  # a frame, or the edge of a shelf
            edge = (_paint(rng) * level * 0.6).tolist()
            cv2.polylines(scene, [points], True, edge, int(rng.integers(1, 5)), cv2.LINE_AA, 4)
    speckle = rng.normal(0, 0.03, (height // 4, width // 4, 1)).astype(np.float32)
    texture = cv2.resize(speckle, (width, height), interpolation=cv2.INTER_CUBIC)
    scene *= np.exp(texture)[..., None]
    blur = height / 256 * float(np.exp(rng.uniform(math.log(0.4), math.log(8))))
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), blur), np.float32)
