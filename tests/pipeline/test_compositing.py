"""Compositors: both give the same image, and what it is."""

import cv2
import numpy as np
import pytest

from support.demo import demo_frames
from vcam_relight.pipeline.compositing.base import Compositor, LightChange, LocalGainPatch
from vcam_relight.pipeline.compositing.choose import fastest_compositor
from vcam_relight.pipeline.compositing.gain import highlight_rolloff, soft_limit
from vcam_relight.pipeline.compositing.native import NativeCompositor
from vcam_relight.pipeline.compositing.opencv import OpenCvCompositor
from vcam_relight.pipeline.core.color import decode_srgb, linear_rgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.native import composition
from vcam_relight.pipeline.native.composition import compose_kernel

COMPOSITORS_LEVELS = 3
"""Of 255, the most that two compositors may differ by: 1 where sums are taken in other orders, and
3 on odd sides, which halve in two ways."""

ENCODED_LEVELS = 1.6
"""Of 255, what the shortcut over encoded values leaves at gains of 0.4 to 2, and rounding."""


def _native() -> Compositor:
    kernel = compose_kernel()
    if kernel is None:
        pytest.skip("the kernel needs a C++ compiler")
    return NativeCompositor(kernel)


@pytest.fixture(params=["opencv", "native"])
def compositor(request: pytest.FixtureRequest) -> Compositor:
    return OpenCvCompositor() if request.param == "opencv" else _native()


def _change(frame: BgrImage, seed: int = 0) -> LightChange:
    """Smooth gains of every colour, a round person, and two patches, one partly outside."""
    numbers = np.random.default_rng(seed)
    grid = (96, 54)
    y, x = np.mgrid[-1:1:54j, -1:1:96j].astype(np.float32)
    mask = np.clip(2.5 - 4 * np.hypot(x, y), 0, 1)
    luma = np.asarray(cv2.cvtColor(resize(frame, grid), cv2.COLOR_BGR2GRAY), np.uint8)

    def gains(side: int) -> FloatArray:
        few = numbers.uniform(0.3, 2.5, (3, 3, 3)).astype(np.float32)
        return np.asarray(cv2.resize(few, (side, side)), np.float32)

    fade = np.outer(np.hanning(32), np.hanning(32)).astype(np.float32)[..., None]
    size = np.array(frame.shape[1::-1], np.float32)
    patches = [
        LocalGainPatch(gains(32), gains(32), fade, size * place, float(size.min() / 2))
        for place in (np.float32([0.5, 0.5]), np.float32([0.1, 0.9]))
    ]
    return LightChange(gains(24), mask, luma, gains(12), patches, strength=0.8)


@pytest.mark.parametrize("size", [(640, 360), (637, 359), (64, 48)])
@pytest.mark.parametrize("alone", [True, False])
def test_compositors_give_the_same_image(size: tuple[int, int], alone: bool) -> None:
    frame = resize(demo_frames(1)[0], size)
    change = _change(frame)
    if alone:
        change = LightChange(change.gain, change.mask, change.luma)
    native, plain = (one.apply(frame, change) for one in (_native(), OpenCvCompositor()))
    assert native.shape == frame.shape
    assert np.abs(native.astype(int) - plain).max() <= COMPOSITORS_LEVELS


@pytest.mark.parametrize("size", [(5, 7), (3, 3), (2, 1), (1, 1)])
def test_frames_of_a_few_pixels_are_composed(size: tuple[int, int], compositor: Compositor) -> None:
    frame = resize(demo_frames(1)[0], size)
    assert compositor.apply(frame, _change(frame)).shape == frame.shape


def test_linear_light_is_multiplied_channel_by_channel(compositor: Compositor) -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:] = (60, 120, 180)
    ones = np.ones((16, 16), np.float32)
    gain = ones[..., None] * np.float32([2.0, 1.0, 0.5])  # RGB
    shown = compositor.apply(frame, LightChange(gain, ones, np.full((16, 16), 120, np.uint8)))
    linear = linear_rgb(frame)[0, 0] * gain[0, 0]
    assert np.abs(linear - linear_rgb(shown)[32, 32]).max() < 0.012
    for channel, expected in zip(shown[32, 32, ::-1], linear, strict=True):
        nearby = decode_srgb((channel + np.float32([-1, 1]) * ENCODED_LEVELS) / 255)
        assert nearby[0] <= expected <= nearby[1]


def test_frames_without_people_are_returned_as_they_are(compositor: Compositor) -> None:
    frame = demo_frames(1)[0]
    gain, nobody = np.full((8, 8, 3), 2, np.float32), np.zeros((8, 8), np.float32)
    change = LightChange(gain, nobody, np.zeros((8, 8), np.uint8))
    assert compositor.apply(frame, change) is frame


def test_frames_that_are_views_or_read_only_are_taken(compositor: Compositor) -> None:
    frame = demo_frames(1)[0][::-1, ::-1]
    change = _change(frame)
    expected = compositor.apply(np.ascontiguousarray(frame), change)
    assert np.array_equal(compositor.apply(frame, change), expected)


def test_without_kernels_opencv_composes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "vcam_relight.pipeline.compositing.choose.compose_kernel",
        composition.compose_kernel.__wrapped__,
    )
    monkeypatch.setattr(composition, "kernel_library", lambda: None)
    assert isinstance(fastest_compositor(), OpenCvCompositor)


def test_gains_stay_below_nine_and_small_ones_are_as_asked() -> None:
    logs = np.linspace(-3, 20, 200, dtype=np.float32)[None]
    gains = soft_limit(logs)
    assert gains.max() < 9.1 and np.all(np.diff(gains) > -1e-5)
    darker = logs <= 0
    assert np.allclose(gains[darker], np.exp(logs[darker]), rtol=1e-5)
    assert soft_limit(np.log(np.float32([[2.0]])))[0, 0] == pytest.approx(2, rel=0.01)


def test_highlights_near_white_and_keep_their_hue() -> None:
    linear = np.float32([[[0.9, 0.6, 0.3], [0.1, 0.1, 0.1]]])
    shown = linear * highlight_rolloff(np.full((1, 2, 3), 1.5, np.float32), linear)
    assert 0.9 < shown[0, 0].max() < 1
    assert shown[0, 0] / shown[0, 0].max() == pytest.approx(linear[0, 0] / 0.9, rel=1e-5)
    assert highlight_rolloff(np.ones((1, 2, 3), np.float32), linear) == pytest.approx(1)
