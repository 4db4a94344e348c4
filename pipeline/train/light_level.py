"""Fits the small network that tells the light on a face (`pipeline.lighting.light_level`).

From well exposed images of faces, and of the light stage's people, it makes dark, back-lit and
coloured rooms; what undoes a room is known, and is what the network learns.
"""

import hashlib
import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.numpy import load_file, save
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.core.color import LUMINANCE_RGB, encode_srgb, linear_rgb, luminance
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, LinearRgb
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.light_level import LevelFeatures, level_features

_LOG = logging.getLogger(__name__)
_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}
_WHITE = 0.7
"""Linear light of a white matte surface in a well exposed image of the light stage."""
_FROM_BEHIND = 1.0
"""Exposure of a light over its first coefficient, below which it is one from behind."""


@dataclass(frozen=True, slots=True)
class RoomDistribution:
    """Which rooms are made; numbers of light are natural logarithms."""

    side: int = 640
    """Pixels of an image's longer side."""
    level: tuple[float, float] = (-3.1, 0.2)
    clean: float = 0.15
    """Share of images that stay as they are."""
    coloured: float = 0.5
    """Share of rooms whose light has a colour..."""
    warmth: float = 0.4
    tint: float = 0.08
    """...red against blue, and green against both, standard deviations."""
    uneven: float = 0.55
    """Share of rooms that are lit otherwise around the person..."""
    around: tuple[float, float] = (-1.2, 2.5)
    """...by so much."""
    noise: tuple[float, float] = (-1.0, 1.5)
    """About that of a webcam's sensor."""
    shot: float = 6e-4
    read: float = 2e-5
    """Variance of a webcam's noise at white, and at black, in linear light."""
    jpeg: tuple[int, int] = (70, 95)
    wider: tuple[float, float] = (0.0, 0.6)
    """Share of the width that is added at each side, the edge drawn out: webcams show more room."""


@dataclass(frozen=True, slots=True)
class LevelFitParams:
    """How the network is fitted."""

    hidden: int = 16
    reach: float = 3.0
    epochs: int = 160
    batch: int = 256
    rate: float = 1e-2
    decay: float = 0.6
    jitter: float = 0.08
    """Standard deviation added to scaled features, so that none is relied on alone."""
    robust: float = 0.3
    """Errors above which the loss is linear."""
    tones: int = 4
    """Parts of the range of skins, in logarithms: rare ones count more, by the root of that."""


@dataclass(frozen=True, slots=True)
class LevelSample:
    """One image in one room."""

    features: LevelFeatures
    log_gain: FloatArray
    """`(3,)` RGB what undoes the room."""
    person: int
    """Number of the image."""
    skin: float
    """Luminance of the skin in the image as it was."""


def image_files(folder: Path) -> Iterator[BgrImage]:
    """Images of a folder, in the order of their names.

    Raises:
        OSError: it has none.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _ENDINGS)
    if not files:
        raise FileNotFoundError(f"{folder} has no images")
    for file in files:
        image = cv2.imread(str(file))
        if image is None:
            _LOG.warning("%s is no image", file)
        else:
            yield np.asarray(image, np.uint8)


def capture_images(folder: Path, seed: int = 0) -> Iterator[BgrImage]:
    """Two images of each capture of a folder, well exposed and each under a white light.

    Raises:
        OSError: it has none, or one cannot be read.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{folder} has no captures")
    for number, file in enumerate(files):
        random = np.random.default_rng((seed, number))
        capture = load_file(file)
        for frame in random.choice(len(capture["sh"]), 2, replace=False):
            light = int(random.integers(capture["sh"].shape[1]))
            level = exposure(capture["sh"][frame, light])
            if luminance(level) < _FROM_BEHIND * float(capture["sh"][frame, light, 0].mean()):
                continue  # no camera exposes such a face well
            lit = capture["images"][frame, light].astype(np.float32)
            lit *= (_WHITE * math.pi / np.maximum(level, 1e-3))[:, None, None]
            alpha = capture["alpha"][frame].astype(np.float32) / 255
            wall = capture["backdrop"][frame].astype(np.float32) * np.float32(_WHITE)
            scene = np.moveaxis(lit + (1 - alpha) * wall, 0, -1)[..., ::-1]
            yield np.ascontiguousarray(np.round(encode_srgb(scene) * 255).astype(np.uint8))


def make_samples(
    images: Iterable[BgrImage],
    rooms: int,
    seed: int = 0,
    distribution: RoomDistribution | None = None,
) -> Iterator[LevelSample]:
    """Puts every image with one face into `rooms` rooms."""
    distribution = distribution or RoomDistribution()
    with closing(FaceTracker(StageTimer())) as tracker:
        for person, image in enumerate(images):
            for room in range(rooms):
                random = np.random.default_rng((seed, person, room))
                sample = _sample(image, person, random, tracker, distribution)
                if sample is not None:
                    yield sample


def _sample(
    image: BgrImage,
    person: int,
    random: np.random.Generator,
    tracker: FaceTracker,
    distribution: RoomDistribution,
) -> LevelSample | None:
    framed = _framed(image, random, distribution)
    faces = tracker.still(framed)
    if len(faces.faces) != 1:
        return None
    box = faces.faces[0].landmarks[:, :2]
    linear = linear_rgb(framed)
    taken = _taken(_in_room(linear, box, random, distribution), random, distribution)
    found = tracker.still(taken)
    if len(found.faces) != 1:
        return None
    features = level_features(FrameContext(taken, found))
    clean = level_features(FrameContext(framed, faces))
    if features is None or clean is None:
        return None
    # The same skin in both: where the face was found at first.
    context, room = FrameContext(framed, faces), FrameContext(taken, faces)
    skin = context.skins[0] > 0
    before, after = context.image.linear[skin].mean(axis=0), room.image.linear[skin].mean(axis=0)
    gain = np.log(np.maximum(before, 1e-3) / np.maximum(after, 1e-4)).astype(np.float32)
    return LevelSample(features, gain, person, float(before @ LUMINANCE_RGB))


def _framed(
    image: BgrImage, random: np.random.Generator, distribution: RoomDistribution
) -> BgrImage:
    """The image as another camera frames it, perhaps mirrored."""
    height, width = image.shape[:2]
    scale = distribution.side / max(height, width)
    if random.random() < 0.5:
        pad = int(random.uniform(*distribution.wider) * width)
        image = np.asarray(cv2.copyMakeBorder(image, 0, 0, pad, pad, cv2.BORDER_REPLICATE))
        scale = distribution.side / max(image.shape[:2])
    if random.random() < 0.5:
        image = image[:, ::-1]
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _in_room(
    linear: LinearRgb,
    face: FloatArray,
    random: np.random.Generator,
    distribution: RoomDistribution,
) -> LinearRgb:
    """The same in another light."""
    if random.random() < distribution.clean:
        return linear
    light = np.full(3, random.uniform(*distribution.level))
    if random.random() < distribution.coloured:
        warm, tint = (random.normal(0, s) for s in (distribution.warmth, distribution.tint))
        light = light + np.array([warm, tint, -warm])
    gain = np.exp(light)
    if random.random() < distribution.uneven:
        around = gain * np.exp(random.uniform(*distribution.around))
        low, high = face.min(axis=0), face.max(axis=0)
        middle, reach = (low + high) / 2, (high - low) * random.uniform(0.9, 1.5, 2)
        middle[1] += 0.3 * (high - low)[1]
        y, x = np.mgrid[: linear.shape[0], : linear.shape[1]]
        distance = ((x - middle[0]) / reach[0]) ** 2 + ((y - middle[1]) / reach[1]) ** 2
        near = np.exp(-(distance**2))[..., None]
        gain = gain * near + around * (1 - near)
    return np.asarray(linear * gain, np.float32)


def _taken(
    linear: LinearRgb, random: np.random.Generator, distribution: RoomDistribution
) -> BgrImage:
    """What a webcam makes of it."""
    level = np.exp(random.uniform(*distribution.noise))
    variance = level * (distribution.shot * np.clip(linear, 0, 1) + distribution.read)
    noisy = linear + random.normal(0, 1, linear.shape) * np.sqrt(variance)
    coded = np.round(encode_srgb(np.asarray(noisy[..., ::-1], np.float32)) * 255).astype(np.uint8)
    quality = int(random.integers(*distribution.jpeg))
    _, packed = cv2.imencode(".jpg", coded, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def fit_light_level(
    samples: list[LevelSample], seed: int = 0, params: LevelFitParams | None = None
) -> dict[str, FloatArray]:
    """The tensors of a `LightLevelModel`; the same samples and seed give the same ones."""
    params = params or LevelFitParams()
    values = np.stack([sample.features.values for sample in samples])
    mean, scale = values.mean(axis=0), values.std(axis=0) + np.float32(1e-3)
    seen = torch.from_numpy(np.clip((values - mean) / scale, -params.reach, params.reach))
    wanted = torch.from_numpy(np.stack([sample.log_gain for sample in samples]))
    weight = torch.from_numpy(_tone_weights(samples, params.tones))
    generator = torch.Generator().manual_seed(seed)
    hidden = params.hidden
    first = torch.randn(seen.shape[1], hidden, generator=generator) * seen.shape[1] ** -0.5
    last = torch.randn(hidden, 3, generator=generator) * hidden**-0.5
    tensors = [first, torch.zeros(hidden), last, wanted.mean(dim=0)]
    for tensor in tensors:
        tensor.requires_grad_(True)
    optimizer = torch.optim.AdamW(tensors, lr=params.rate, weight_decay=params.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, params.epochs)
    for _ in range(params.epochs):
        for part in _parts(len(seen), params.batch, generator):
            jitter = torch.randn(len(part), seen.shape[1], generator=generator) * params.jitter
            said = torch.tanh((seen[part] + jitter) @ tensors[0] + tensors[1]) @ tensors[2]
            error = functional.smooth_l1_loss(
                said + tensors[3], wanted[part], beta=params.robust, reduction="none"
            )
            loss = (error.mean(dim=1) * weight[part]).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    names = ("first", "first_bias", "last", "last_bias")
    fitted = {name: tensor.detach().numpy() for name, tensor in zip(names, tensors, strict=True)}
    return fitted | {"mean": mean, "scale": scale, "reach": np.array([params.reach], np.float32)}


def _tone_weights(samples: list[LevelSample], tones: int) -> FloatArray:
    skin = np.log([sample.skin for sample in samples])
    edges = np.linspace(skin.min(), skin.max() + 1e-6, tones + 1)
    place = np.digitize(skin, edges) - 1
    counts = np.bincount(place, minlength=tones)
    weights = (1 / np.sqrt(np.maximum(counts, 1)))[place]
    return np.asarray(weights / weights.mean(), np.float32)


def _parts(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(count, generator=generator)
    for start in range(0, count, size):
        yield order[start : start + size]


def write_light_level(tensors: dict[str, FloatArray], out: Path) -> str:
    """Writes the file that the program ships; returns its SHA-256.

    Raises:
        OSError: it cannot be written.
    """
    content = save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
