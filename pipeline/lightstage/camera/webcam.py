"""Turns linear renders into what a webcam would have delivered.

The order is a camera's own: scene, lens, sensor (exposure, mosaic, noise, clipping), its processor
(white balance, tone, sharpening), encoder, and the size that the crop of a face is scaled to. One
`CameraParameters` is one camera in one room: draw it once per clip. No step moves a pixel, so
normals, depth, flow and masks of the render stay true of the image.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.color import LUMINANCE_RGB, encode_srgb, luminance
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map
from vcam_relight.pipeline.lightstage.camera.codec import compress
from vcam_relight.pipeline.lightstage.camera.parameters import CameraParameters
from vcam_relight.pipeline.lightstage.camera.sensor import expose

Colours = NDArray[np.float16] | NDArray[np.float32]
"""What the light stage's stream gives, or what was computed from it."""

_LUMA = LUMINANCE_RGB.reshape(1, 3).copy()
_GREY = 0.2
"""Linear luminance that auto-exposure aims the image's middle at."""
_AUTO_STOPS = (-3.0, 3.0)
_AUTO_TINT = (0.4, 2.5)
_METER_FRAMES = 12.0
"""Time constant of auto-exposure in frames."""
_REFERENCE = 256.0
"""Lengths of `CameraParameters` are in pixels of an image of this height."""
_CURVE = 4095


@dataclass(frozen=True, slots=True)
class ForegroundLayer:
    """Something drawn in front of the person."""

    linear: FloatArray
    """`(H, W, 3)` linear RGB, premultiplied."""
    alpha: Map
    """`(H, W)` in 0..1."""


@dataclass(frozen=True, slots=True)
class Metering:
    """What the camera's automatics go by."""

    level: float
    """Linear luminance of the image, the middle counting most."""
    colour: FloatArray
    """`(3,)` its mean linear RGB."""


@dataclass(frozen=True, slots=True)
class WebcamFrame:
    """An image and what was done to it."""

    image: BgrImage
    """`(H, W, 3)` uint8 BGR, sRGB."""
    occluded: Map
    """`(H, W)` in 0..1, the share of each pixel that something in front of the person takes, after
    the lens."""
    exposure: float
    """Linear gain of all channels; the drift and the automatics of this frame are in it."""
    white_balance: FloatArray
    """`(3,)` linear RGB gains, those of a neutral grey of luminance 1."""
    veil: FloatArray
    """`(3,)` linear RGB of the light scattered in the lens, before the gains. Up to vignetting,
    noise, clipping and the tone curve, the image is
    `(scene * (1 - camera.glare) + veil) * gain`."""

    @property
    def gain(self) -> FloatArray:
        """`(3,)` linear RGB: exposure times white balance."""
        return self.white_balance * np.float32(self.exposure)


def apply(
    camera: CameraParameters,
    linear: Colours,
    alpha: Colours,
    backdrop: FloatArray,
    frame_index: int,
    front: ForegroundLayer | None = None,
) -> WebcamFrame:
    """One frame by itself; H.264 then is a keyframe, and the automatics go by this frame.

    Args:
        camera: its parameters.
        linear: `(H, W, 3)` linear RGB of the person, premultiplied by alpha: a `RenderedView`'s
            image.
        alpha: `(H, W)` in 0..1.
        backdrop: `(H, W, 3)` linear RGB of what is behind, as `lightstage.camera.backdrop` draws.
        frame_index: place in the clip; noise, shake and drift follow from it and the camera's seed.
        front: hands and objects, as `pipeline.lightstage.camera.occluder` draws them.

    Raises:
        ValueError: the shapes do not fit together.
    """
    scene, occluded = _compose(linear, alpha, backdrop, front)
    raw = _develop(camera, scene, occluded, frame_index, meter(scene))
    (small,) = compress(camera, [raw.image])
    return _at_size(raw, small, camera, scene.shape)


def film(
    camera: CameraParameters,
    frames: Iterable[tuple[Colours, Colours, FloatArray, ForegroundLayer | None]],
    first_index: int = 0,
) -> Iterator[WebcamFrame]:
    """A clip: the automatics follow with delay, and H.264 predicts each frame from those before.

    Args:
        camera: its parameters.
        frames: `linear`, `alpha`, `backdrop` and `front` of each, as `apply` takes them.
        first_index: place of the first frame in its clip.

    Yields:
        One `WebcamFrame` a frame, in order; all are held until the clip is encoded.
    """
    raws: list[WebcamFrame] = []
    metered: Metering | None = None
    shape: tuple[int, ...] = ()
    for index, (linear, alpha, backdrop, front) in enumerate(frames, first_index):
        scene, occluded = _compose(linear, alpha, backdrop, front)
        shape = scene.shape
        now = meter(scene)
        metered = now if metered is None else _follow(metered, now)
        raws.append(_develop(camera, scene, occluded, index, metered))
    for raw, small in zip(raws, compress(camera, [raw.image for raw in raws]), strict=True):
        yield _at_size(raw, small, camera, shape)


def meter(scene: FloatArray) -> Metering:
    """Centre-weighted metering of `(H, W, 3)` linear RGB."""
    small = cv2.resize(scene, (16, 16), interpolation=cv2.INTER_AREA)
    place = (np.arange(16, dtype=np.float32) - 7.5) / 8
    weight = np.exp(-1.5 * (place[:, None] ** 2 + place**2))[..., None]
    # what is far beyond white counts as just beyond it, else a lamp would turn the image black
    colour = (np.minimum(small, 3.0) * weight).sum((0, 1)) / weight.sum()
    return Metering(max(luminance(colour), 1e-5), colour.astype(np.float32))


def _follow(last: Metering, now: Metering) -> Metering:
    share = 1 / _METER_FRAMES
    return Metering(
        last.level + share * (now.level - last.level),
        (last.colour + np.float32(share) * (now.colour - last.colour)).astype(np.float32),
    )


def _compose(
    linear: Colours, alpha: Colours, backdrop: FloatArray, front: ForegroundLayer | None
) -> tuple[FloatArray, Map]:
    if linear.shape != backdrop.shape or linear.shape[:2] != alpha.shape:
        raise ValueError(
            f"person {linear.shape}, alpha {alpha.shape} and backdrop {backdrop.shape} differ"
        )
    # the stream's half floats are widened here
    linear, alpha = np.asarray(linear, np.float32), np.asarray(alpha, np.float32)
    scene = linear + (1 - alpha[..., None]) * np.asarray(backdrop, np.float32)
    if front is None:
        return scene, np.zeros(alpha.shape, np.float32)
    if front.linear.shape != linear.shape or front.alpha.shape != alpha.shape:
        raise ValueError(f"what is in front is {front.linear.shape}, the person {linear.shape}")
    return front.linear + (1 - front.alpha[..., None]) * scene, front.alpha


def _develop(
    camera: CameraParameters, scene: FloatArray, occluded: Map, index: int, metered: Metering
) -> WebcamFrame:
    """All up to the encoder; the image has the sensor's size."""
    rng = np.random.default_rng((camera.seed, 0, index))
    shake = camera.shake * float(rng.uniform(0.3, 1.0))
    angle = camera.shake_angle + float(rng.normal(0, 0.3))
    exposure = _exposure(camera, metered, index)
    white_balance = _white_balance(camera, metered)
    blurred = _lens(camera, scene, shake, angle)
    occluded = np.clip(_lens(camera, occluded, shake, angle), 0, 1)
    veil = np.zeros(3, np.float32)
    if camera.glare > 0:
        veil = (camera.glare * np.asarray(camera.glare_colour) * metered.level).astype(np.float32)
        blurred = blurred * np.float32(1 - camera.glare) + veil
    width, height = _sensor_size(camera, scene.shape)
    if (height, width) != scene.shape[:2]:
        small = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_AREA)
        blurred = np.asarray(small, np.float32)
    light = blurred * vignette(camera, height, width)[..., None] if camera.vignette > 0 else blurred
    developed = expose(camera, light, exposure, white_balance, index)
    encoded = _finish(camera, developed)
    levels = np.rint(np.clip(encoded, 0, 1) * 255).astype(np.uint8)
    image = np.ascontiguousarray(_range_mistake(camera, levels)[..., ::-1])
    return WebcamFrame(image, occluded, exposure, white_balance, veil)


def _exposure(camera: CameraParameters, metered: Metering, index: int) -> float:
    auto = camera.auto_exposure * math.log2(_GREY / metered.level)
    drift = camera.drift * (
        math.sin(index * 0.043 + camera.seed % 7) + 0.5 * math.sin(index * 0.117 + camera.seed % 11)
    )
    return float(2 ** (camera.exposure + min(max(auto, _AUTO_STOPS[0]), _AUTO_STOPS[1]) + drift))


def _white_balance(camera: CameraParameters, metered: Metering) -> FloatArray:
    grey = np.clip(metered.level / np.maximum(metered.colour, 1e-6), *_AUTO_TINT)
    gains = np.asarray(camera.white_balance) * grey**camera.auto_white_balance
    return (gains / luminance(gains.astype(np.float32))).astype(np.float32)


def vignette(camera: CameraParameters, height: int, width: int) -> Map:
    """`(height, width)` gain of the lens: 1 in the middle, cos^4-like towards the corners."""
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / (height / 2)
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / (width / 2)
    square = (y[:, None] ** 2 + x**2) / 2
    result: Map = (1 / (1 + np.float32(camera.vignette) * square) ** 2).astype(np.float32)
    return result


def _sensor_size(camera: CameraParameters, shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height, even unless they are the image's own."""
    height, width = shape[:2]
    if camera.scale >= 1:
        return width, height
    return max(16, 2 * round(width * camera.scale / 2)), max(
        16, 2 * round(height * camera.scale / 2)
    )


def _lens(camera: CameraParameters, scene: FloatArray, length: float, angle: float) -> FloatArray:
    unit = scene.shape[0] / _REFERENCE
    kernels = []
    if camera.defocus * unit > 0.3:
        kernels.append(_disc(camera.defocus * unit))
    if length * unit > 0.5:
        kernels.append(_streak(length * unit, angle))
    for kernel in kernels:
        blurred = cv2.filter2D(scene, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        scene = np.asarray(blurred, np.float32)
    if camera.softness * unit > 0.15:
        scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), camera.softness * unit), np.float32)
    return scene


def _disc(radius: float) -> FloatArray:
    half = math.ceil(radius)
    x = np.arange(-half, half + 1, dtype=np.float32)
    kernel = np.clip(radius + 0.5 - np.hypot(x[:, None], x), 0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _streak(length: float, angle: float) -> FloatArray:
    half = math.ceil(length / 2) + 1
    x = np.arange(-half, half + 1, dtype=np.float32)
    along = np.abs(x * math.cos(angle) + x[:, None] * math.sin(angle))
    across = np.abs(x[:, None] * math.cos(angle) - x * math.sin(angle))
    kernel = np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1 - across, 0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _finish(camera: CameraParameters, linear: FloatArray) -> FloatArray:
    """The processor's part after white balance: tone, denoising, colour, sharpening."""
    index = np.sqrt(np.clip(linear, 0, camera.headroom) / np.float32(camera.headroom))
    encoded: FloatArray = tone_curve(camera)[np.rint(index * _CURVE).astype(np.intp)]
    if camera.denoise > 0:
        encoded = np.asarray(cv2.bilateralFilter(encoded, 5, camera.denoise, 1.5), np.float32)
    if camera.saturation != 1:
        luma = np.asarray(cv2.transform(encoded, _LUMA), np.float32)[..., None]
        encoded = np.asarray(luma + camera.saturation * (encoded - luma), np.float32)
    if camera.sharpening > 0:
        luma = np.asarray(cv2.transform(encoded, _LUMA), np.float32)
        detail = luma - cv2.GaussianBlur(luma, (0, 0), camera.sharpening_radius)
        encoded = np.asarray(encoded + camera.sharpening * detail[..., None], np.float32)
    return encoded


def tone_curve(camera: CameraParameters) -> FloatArray:
    """The tone curve: shoulder, sRGB's curve, gamma, contrast and black level.

    Returns:
        `(4096,)` encoded values at linear `(i / 4095)^2 * camera.headroom`.
    """
    linear = (np.linspace(0, 1, _CURVE + 1) ** 2 * camera.headroom).astype(np.float32)
    if camera.headroom > 1:  # a shoulder that meets the straight part with the same slope
        knee, room = 0.6, 0.4
        rolled = knee + room * (1 - np.exp(-np.maximum(linear - knee, 0) / room))
        linear = np.where(linear > knee, rolled, linear)
    v = encode_srgb(linear) ** np.float32(camera.gamma)
    v = v + np.float32(camera.contrast) * v * (1 - v) * (2 * v - 1)
    result: FloatArray = (camera.black + (1 - camera.black) * v).astype(np.float32)
    return result


def _range_mistake(camera: CameraParameters, levels: BgrImage) -> BgrImage:
    """Full-range video taken for limited (too much contrast), or limited for full (too little)."""
    if camera.range_mistake == "none":
        return levels
    steps = np.arange(256) / 255
    wrong = (
        (steps * 255 - 16) / 219 if camera.range_mistake == "crushed" else (16 + steps * 219) / 255
    )
    return np.rint(np.clip(wrong, 0, 1) * 255).astype(np.uint8)[levels]


def _at_size(
    raw: WebcamFrame, small: BgrImage, camera: CameraParameters, shape: tuple[int, ...]
) -> WebcamFrame:
    image = small
    if small.shape != shape:
        way = cv2.INTER_CUBIC if camera.crisp else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(small, shape[1::-1], interpolation=way), np.uint8)
    return WebcamFrame(image, raw.occluded, raw.exposure, raw.white_balance, raw.veil)
