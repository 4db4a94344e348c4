"""Real images and clips to measure on, and clips made of rendered subjects."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage

VIDEO_FOLDERS = ("webcam",)
FRAME_FOLDERS = ("seed/video",)
PORTRAIT_FOLDER = "portraits"
"""Layout of the media folder: video files, folders of numbered frames, single images."""

_VIDEOS = {".mkv", ".mp4", ".mov", ".webm"}
_PICTURES = {".jpg", ".jpeg", ".png"}
_LARGEST_SIDE = 640
"""Pixels of the longer side; larger images are shrunk, to what most webcams give."""
_NOISE = 2.0
"""Standard deviation in levels of 255 of the made clips' sensor noise."""
PAN = 0.03
"""Of the image's width: how far the made clips' heads move to each side."""


@dataclass(frozen=True, slots=True)
class MediaClip:
    """Frames of one stream."""

    name: str
    images: tuple[BgrImage, ...]
    rate: float
    """Frames per second."""

    @property
    def times(self) -> list[float]:
        """Media time of each frame in seconds."""
        return [index / self.rate for index in range(len(self.images))]


def load_clips(folder: Path, frames: int) -> Iterator[MediaClip]:
    """The first `frames` frames of every clip in a media folder, in the order of names.

    Raises:
        OSError: a file cannot be read.
    """
    for name in FRAME_FOLDERS:
        files = _files(folder / name, _PICTURES)[:frames]
        if len(files) > 1:
            yield MediaClip(name.split("/")[0], tuple(_fitted(_read(file)) for file in files), 30.0)
    for name in VIDEO_FOLDERS:
        for file in _files(folder / name, _VIDEOS):
            yield read_clip(file, frames)


def read_clip(file: Path, frames: int) -> MediaClip:
    """The first `frames` frames of a video file.

    Raises:
        OSError: it cannot be read.
    """
    images = []
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 30)
        for frame in container.decode(stream):
            images.append(_fitted(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)))
            if len(images) == frames:
                break
    return MediaClip(file.stem, tuple(images), rate)


def load_portraits(folder: Path, count: int) -> list[tuple[str, BgrImage]]:
    """`count` images of a media folder with their names, taken evenly.

    Raises:
        OSError: a file cannot be read.
    """
    files = _files(folder / PORTRAIT_FOLDER, _PICTURES)
    if not files or not count:
        return []
    chosen = np.unique(np.linspace(0, len(files) - 1, count).round().astype(int))
    return [(files[index].stem, _fitted(_read(files[index]))) for index in chosen]


def moving_clip(name: str, image: BgrImage, frames: int, seed: int, pan: float = PAN) -> MediaClip:
    """Makes a clip of a still: it moves sideways and back, with new sensor noise in each frame.

    What moves is known, and so is the light: it does not change.

    Args:
        name: of the clip.
        image: `(H, W, 3)` BGR.
        frames: how many, at 30 a second.
        seed: of the noise.
        pan: how far it moves to each side, over its width.
    """
    height, width = image.shape[:2]
    random = np.random.default_rng(seed)
    made = []
    for index in range(frames):
        shift = pan * width * np.sin(2 * np.pi * index / 30)
        matrix = np.array([[1, 0, shift], [0, 1, 0]], np.float32)
        moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        noisy = moved + random.normal(0.0, _NOISE, image.shape)
        made.append(np.clip(np.round(noisy), 0, 255).astype(np.uint8))
    return MediaClip(name, tuple(made), 30.0)


def _files(folder: Path, endings: set[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in endings)


def _read(file: Path) -> BgrImage:
    image = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f"{file} is no picture")
    return np.asarray(image, np.uint8)


def _fitted(image: BgrImage) -> BgrImage:
    scale = _LARGEST_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
