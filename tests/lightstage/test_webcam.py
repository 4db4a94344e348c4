"""The light stage's webcam: what it does to an image is what a camera would do, and is known."""

from dataclasses import fields, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.demo import demo_frames
from vcam_relight.pipeline.core.color import DECODE_8BIT, decode_srgb, encode_srgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map
from vcam_relight.pipeline.face.detector import FaceDetector
from vcam_relight.pipeline.face.segmenter import PersonSegmenter
from vcam_relight.pipeline.lighting.light_map import map_directions
from vcam_relight.pipeline.lightstage.camera.backdrop import (
    Photographs,
    sample_backdrop,
    surroundings,
)
from vcam_relight.pipeline.lightstage.camera.occluder import Kind, Occluder
from vcam_relight.pipeline.lightstage.camera.parameters import CameraParameters, sample_camera
from vcam_relight.pipeline.lightstage.camera.webcam import WebcamFrame, apply, film

GAIN_UNDONE = 0.03
"""Of the mean linear colour of a webcam image after its reported gains are undone: highlights
clip, noise around black is cut off, and 8 bits are rounded."""

OCCLUDED_LEVELS = 1
"""Of 255, by which an image may change where nothing is in front: the blur's tail."""

SCREEN_ENERGY = 0.7
"""Least share of a screen's irradiance on normals of the front half: it is 45 degrees wide and may
stand 30 degrees aside, and a normal receives from 90 degrees around."""

SIZE = 256
_Scene = tuple[FloatArray, Map, FloatArray]


@cache
def _scene() -> _Scene:
    """The demo clip's face cut out of its frame, before a grey gradient."""
    frame = demo_frames(1)[0]
    side = frame.shape[0]
    left = (frame.shape[1] - side) // 2
    crop = cv2.resize(frame[:, left : left + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(PersonSegmenter().segment(np.asarray(crop, np.uint8)), (SIZE, SIZE))
    alpha = np.clip((mask - 0.2) / 0.6, 0, 1).astype(np.float32)
    linear = cv2.LUT(crop, DECODE_8BIT)[..., ::-1] * alpha[..., None]
    ramp = np.linspace(0.15, 0.4, SIZE, dtype=np.float32)[None, :, None]
    return linear.astype(np.float32), alpha, np.tile(ramp, (SIZE, 1, 3))


def _composited() -> FloatArray:
    linear, alpha, backdrop = _scene()
    return linear + (1 - alpha[..., None]) * backdrop


def _shoot(camera: CameraParameters, index: int = 0, light: float = 1.0) -> WebcamFrame:
    linear, alpha, backdrop = _scene()
    return apply(camera, linear * np.float32(light), alpha, backdrop * np.float32(light), index)


def _flat(camera: CameraParameters, level: float, index: int = 0) -> BgrImage:
    even = np.full((SIZE, SIZE, 3), level, np.float32)
    return apply(camera, even, np.ones((SIZE, SIZE), np.float32), even, index).image


def _detail(image: BgrImage) -> float:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return float(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.2)).mean())


def _front_light() -> FloatArray:
    vectors, _ = map_directions()
    return np.repeat(0.5 + np.maximum(vectors[..., 2:], 0), 3, axis=2).astype(np.float32)


def test_strength_zero_is_plain_encoding() -> None:
    plain = np.rint(encode_srgb(_composited())[..., ::-1] * 255)
    for seed in range(5):
        frame = _shoot(sample_camera(np.random.default_rng(seed), strength=0.0))
        assert np.abs(frame.image - plain).max() <= 1
        assert np.allclose(frame.gain, 1)
        assert not frame.occluded.any()


def test_a_camera_stays_within_its_documented_strength() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        sample_camera(np.random.default_rng(0), strength=1.5)
    full = [sample_camera(np.random.default_rng(seed)) for seed in range(200)]
    half = [sample_camera(np.random.default_rng(seed), 0.5) for seed in range(200)]
    for strong, weak in zip(full, half, strict=True):  # the same camera, half as bad
        assert abs(weak.exposure) == pytest.approx(abs(strong.exposure) / 2)
        assert weak.read_noise < strong.read_noise
        assert weak.scale >= strong.scale and weak.quality >= strong.quality
    for field in fields(CameraParameters):  # nothing is the same for all cameras
        assert len({getattr(camera, field.name) for camera in full}) > 1, field.name


@pytest.mark.parametrize("codec", ["jpeg", "h264"])
def test_same_seed_same_bytes(codec: str) -> None:
    def shoot(seed: int, index: int) -> bytes:
        camera = replace(sample_camera(np.random.default_rng(seed)), codec=codec)
        return _shoot(camera, index).image.tobytes()

    assert shoot(3, 7) == shoot(3, 7)
    assert shoot(3, 7) != shoot(3, 8)
    assert shoot(3, 7) != shoot(4, 7)


def test_gains_are_reported_exactly() -> None:
    """Undoing the reported gains gives back the mean of the linear scene."""
    scene = _composited().mean((0, 1))
    for seed in range(8):
        drawn = sample_camera(np.random.default_rng(seed))
        camera = CameraParameters(
            seed=seed,
            exposure=min(drawn.exposure, 0.0),
            auto_exposure=drawn.auto_exposure,
            drift=drawn.drift,
            white_balance=drawn.white_balance,
            auto_white_balance=drawn.auto_white_balance,
            glare=drawn.glare,
            glare_colour=drawn.glare_colour,
            electrons=drawn.electrons,
            read_noise=drawn.read_noise,
            mosaic=True,
            sensor_gains=drawn.sensor_gains,
        )
        frame = _shoot(camera, index=5, light=0.6)
        seen = decode_srgb((frame.image[..., ::-1] / np.float32(255)).astype(np.float32))
        undone = (seen.mean((0, 1)) / frame.gain - frame.veil) / (1 - camera.glare)
        assert undone / 0.6 == pytest.approx(scene, rel=GAIN_UNDONE)


def test_auto_exposure_lifts_dark_scenes_with_their_noise() -> None:
    steady = CameraParameters(seed=1, electrons=4000, read_noise=0.002, mosaic=True)
    auto = replace(steady, auto_exposure=0.9)
    dark, lifted = _flat(steady, 0.02), _flat(auto, 0.02)
    assert lifted.mean() > 2 * dark.mean()
    assert lifted.std() > 2.5 * _flat(auto, 0.2).std()
    # a bright window behind somebody makes the person dark
    linear, alpha, backdrop = _scene()
    behind = apply(auto, linear, alpha, backdrop * 6, 0)
    face = alpha > 0.99
    assert behind.image[face].mean() < 0.75 * _shoot(auto).image[face].mean()


def test_noise_is_that_of_a_sensor() -> None:
    camera = CameraParameters(
        seed=2, electrons=2000, read_noise=0.002, mosaic=True, sensor_gains=(2.0, 1.0, 1.6)
    )
    first, second = _flat(camera, 0.2, 0), _flat(camera, 0.2, 1)
    blue, green, red = first.reshape(-1, 3).std(0)
    assert red > green and blue > green
    # interpolation of the mosaic correlates neighbours
    noise = first[..., 1].astype(np.float32) - first[..., 1].mean()
    assert (noise[:, 1:] * noise[:, :-1]).mean() > 0.2 * noise.var()

    def likeness(a: BgrImage, b: BgrImage) -> float:
        return float(np.corrcoef(a[..., 1].ravel(), b[..., 1].ravel())[0, 1])

    assert abs(likeness(first, second)) < 0.05
    denoised = replace(camera, residue=0.7)
    assert likeness(_flat(denoised, 0.2, 4), _flat(denoised, 0.2, 5)) > 0.4


def test_each_step_changes_what_it_should() -> None:
    plain = _detail(_shoot(CameraParameters()).image)
    for blur in ({"defocus": 2.0}, {"softness": 1.0}, {"shake": 8.0}, {"scale": 0.4}):
        assert _detail(_shoot(CameraParameters(**blur)).image) < 0.8 * plain, blur
    assert _detail(_shoot(CameraParameters(sharpening=1.2)).image) > 1.2 * plain
    grain = CameraParameters(electrons=1500, read_noise=0.003, mosaic=True)
    assert _flat(replace(grain, denoise=0.1), 0.2).std() < 0.6 * _flat(grain, 0.2).std()

    over = _shoot(CameraParameters(exposure=2.5)).image
    rolled = _shoot(CameraParameters(exposure=2.5, headroom=2.5)).image
    assert (over == 255).mean() > 0.05
    assert (rolled == 255).mean() < (over == 255).mean() / 4  # the shoulder saves highlights

    corner = _flat(CameraParameters(vignette=0.4), 0.3)
    assert corner[:8, :8].mean() < 0.8 * corner[120:136, 120:136].mean()
    grey = _flat(CameraParameters(black=0.06), 0.0)
    assert grey.min() >= 14
    assert _shoot(CameraParameters(glare=0.1)).image.min() > _shoot(CameraParameters()).image.min()
    coloured = [_shoot(CameraParameters(saturation=s)).image.astype(int) for s in (0.6, 1.0, 1.4)]
    spread = [np.ptp(image, axis=2).mean() for image in coloured]
    assert spread == sorted(spread)
    assert _flat(CameraParameters(range_mistake="washed"), 0.0).min() == 16
    assert _flat(CameraParameters(range_mistake="crushed"), 0.004).max() == 0


def _blockiness(image: BgrImage) -> float:
    """Mean step across the edges of 8x8 blocks over that elsewhere."""
    step = np.abs(np.diff(image.astype(np.float32), axis=1)).mean((0, 2))
    edge = np.arange(step.size) % 8 == 7
    return float(step[edge].mean() / step[~edge].mean())


def test_codecs_leave_their_marks() -> None:
    plain = _shoot(CameraParameters()).image
    jpeg = _shoot(CameraParameters(codec="jpeg", quality=30, subsampling="4:2:0")).image
    assert _blockiness(jpeg) > 1.15 * _blockiness(plain)

    def loss(image: BgrImage) -> float:
        return float(np.square(image.astype(np.float32) - plain).mean())

    h264 = [loss(_shoot(CameraParameters(codec="h264", crf=crf)).image) for crf in (18, 28, 38)]
    assert 0 < h264[0] < h264[1] < h264[2]
    red = np.zeros((SIZE, SIZE, 3), np.float32)
    red[:, 101:, 0] = 0.5  # an edge in colour, between two chroma samples
    opaque = np.ones((SIZE, SIZE), np.float32)
    sharp, soft = (
        apply(CameraParameters(codec="jpeg", quality=95, subsampling=s), red, opaque, red, 0).image
        for s in ("4:4:4", "4:2:0")
    )
    assert int(soft[128, 100, 2]) > int(sharp[128, 100, 2]) + 15


def test_a_clip_has_one_camera() -> None:
    linear, alpha, backdrop = _scene()
    camera = CameraParameters(
        seed=9, electrons=400, read_noise=0.008, codec="h264", crf=28, drift=0.1
    )
    halves = linear.astype(np.float16), alpha.astype(np.float16)  # what the stream gives
    clip = list(film(camera, [(*halves, backdrop, None)] * 12))
    assert len(clip) == 12
    gains = np.array([frame.exposure for frame in clip])
    assert 0 < np.abs(np.diff(np.log2(gains))).max() < 0.05
    assert all(np.array_equal(frame.white_balance, clip[0].white_balance) for frame in clip)
    steps = [np.abs(a.image.astype(float) - b.image).mean() for a, b in pairwise(clip)]
    assert min(steps) > 0
    # frames predicted from those before: what changes is less than between keyframes
    alone = [_shoot(camera, index).image.astype(float) for index in (5, 6)]
    assert np.median(steps) < np.abs(alone[0] - alone[1]).mean()


def test_automatics_follow_with_delay() -> None:
    linear, alpha, backdrop = _scene()
    camera = CameraParameters(auto_exposure=1.0)
    scenes = [(linear, alpha, backdrop * k, None) for k in [1.0] * 3 + [8.0] * 40]
    gains = [frame.exposure for frame in film(camera, scenes)]
    assert gains[2] == pytest.approx(gains[0])
    assert gains[3] > gains[4] > gains[20] > gains[42]
    assert gains[42] == pytest.approx(_gain_alone(camera, scenes[-1]), rel=0.1)


def _gain_alone(camera: CameraParameters, scene: tuple[FloatArray, Map, FloatArray, None]) -> float:
    return apply(camera, scene[0], scene[1], scene[2], 0).exposure


@pytest.mark.parametrize("kind", ["hand", "fist", "mug", "phone", "microphone", "sleeve"])
def test_the_mask_covers_what_is_in_front(kind: Kind) -> None:
    linear, alpha, backdrop = _scene()
    camera = CameraParameters(softness=0.8, defocus=1.0, mosaic=True, sharpening=0.5)
    without = apply(camera, linear, alpha, backdrop, 0)
    areas = []
    for seed in range(4):
        thing = Occluder(np.random.default_rng(seed), kind)
        front = thing.draw(0, (SIZE, SIZE), _front_light())
        assert np.isfinite(front.linear).all() and front.linear.min() >= 0
        with_it = apply(camera, linear, alpha, backdrop, 0, front)
        changed = np.abs(with_it.image.astype(int) - without.image).max(2)
        outside = cv2.dilate(with_it.occluded, np.ones((7, 7), np.uint8)) < 1e-3
        assert changed[outside].max(initial=0) <= OCCLUDED_LEVELS
        areas.append(float((with_it.occluded > 0.5).mean()))
        moved = thing.draw(6, (SIZE, SIZE), _front_light())
        assert not np.array_equal(moved.alpha, front.alpha)
    assert 0.02 < float(np.mean(areas)) < 0.5


def test_what_is_in_front_is_lit_by_the_light() -> None:
    vectors, _ = map_directions()
    right = np.repeat(np.maximum(vectors[..., :1], 0), 3, axis=2).astype(np.float32)
    hand = [Occluder(np.random.default_rng(5), "hand").draw(0, (SIZE, SIZE), light)
            for light in (right, np.ascontiguousarray(right[:, ::-1]))]  # fmt: skip
    lit = [layer.linear.sum(2) for layer in hand]
    x = np.arange(SIZE, dtype=np.float32)
    from_right, from_left = ((light * x).sum() / light.sum() for light in lit)
    assert from_right > from_left + 1


def test_backdrops_follow_the_light() -> None:
    light = _front_light()
    for seed in range(12):
        one = sample_backdrop(np.random.default_rng(seed), (SIZE, SIZE), light, 2.0)
        again = sample_backdrop(np.random.default_rng(seed), (SIZE, SIZE), light * 2, 2.0)
        assert one.shape == (SIZE, SIZE, 3) and one.dtype == np.float32
        assert one.min() >= 0 and one.max() > 0
        assert again.mean() == pytest.approx(2 * one.mean(), rel=0.01)


def test_surroundings_are_those_behind_the_person() -> None:
    """The map's edge column is behind; +x is on its left half, and on the image's right."""
    vectors, _ = map_directions()
    light = np.zeros((32, 64, 3), np.float32)
    light[(vectors[..., 2] < 0) & (vectors[..., 0] > 0)] = (1, 0, 0)
    light[(vectors[..., 2] < 0) & (vectors[..., 1] > 0.2)] += (0, 0, 1)
    seen = surroundings(light, (SIZE, SIZE), 1.0)
    assert seen[:, -60:, 0].mean() > 0.9 and seen[:, :60, 0].mean() < 0.05
    assert seen[:20, :, 2].mean() > 0.8 and seen[-60:, :, 2].mean() < 0.05


def test_no_second_face_stays_in_a_photograph(tmp_path: Path) -> None:
    frame = demo_frames(1)[0]
    detector = FaceDetector()
    assert detector.detect(frame)
    cv2.imwrite(str(tmp_path / "a.jpg"), frame)
    cleaned = Photographs(tmp_path)[0]
    image = np.rint(encode_srgb(cleaned)[..., ::-1] * 255).astype(np.uint8)
    assert not detector.detect(image)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="holds no"):
        Photographs(empty)


def test_images_look_like_a_cameras() -> None:
    """Over many cameras: mostly neither black nor burnt out, with a spread as real clips have."""
    means, black, white = [], [], []
    for seed in range(40):
        image = _shoot(sample_camera(np.random.default_rng(seed)), light=0.7).image
        means.append(image.mean())
        black.append((image.max(2) < 4).mean())
        white.append((image.min(2) > 251).mean())
    assert 80 < np.median(means) < 150
    assert np.std(means) > 8
    assert np.percentile(black, 90) < 0.15 and np.percentile(white, 90) < 0.15
