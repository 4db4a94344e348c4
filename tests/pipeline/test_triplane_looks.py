"""What the network saw goes along with moving heads."""

import cv2
import numpy as np
import pytest

from support.demo import demo_frames
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.engines.registry import load_engine
from vcam_relight.pipeline.engines.triplane.temporal.optical_flow import FlowEstimator, FlowField
from vcam_relight.pipeline.head.crop import HeadCrop
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter

PRESETS, _ = load_presets()
LEFT, RIGHT = (PRESETS[name].lighting() for name in ("key-left", "key-right"))
PLAIN = RelightSettings()


def _played(frames: tuple[BgrImage, ...]) -> list[BgrImage]:
    relighter = Relighter(load_engine("triplane"))
    return [relighter.process(frame, index / 30, LEFT, PLAIN) for index, frame in enumerate(frames)]


def _error(shown: list[BgrImage], expected: list[BgrImage]) -> float:
    pairs = zip(shown, expected, strict=True)
    return float(np.mean([np.abs(one.astype(int) - other).mean() for one, other in pairs]))


def test_motion_is_that_of_the_image() -> None:
    """Everything in a crop moves by two cells right and one down, as does what was seen of it."""
    frame = demo_frames(1)[0]
    here = HeadCrop(np.array([640, 300], np.float32), 380.0)
    cell = here.side / 128
    there = HeadCrop(here.middle - np.array([2 * cell, cell], np.float32), here.side)
    seen, true = (crop.cut(frame, 128).astype(np.float32) for crop in (here, there))
    gray = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
    luma, later = (crop.cut(gray, 128) for crop in (here, there))
    flow = FlowEstimator().estimate_flow(luma, later)
    inner = (slice(8, -8), slice(8, -8))

    def error(values: FloatArray) -> float:
        return float(np.abs(values - true)[inner].mean())

    assert error(flow.warp(seen)) < 0.4 * error(seen)
    assert np.array_equal(FlowEstimator().estimate_flow(luma, luma).warp(seen), seen)


def test_light_goes_along_with_a_moving_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame of a stream is nearer to the same frame relit alone."""
    frames = demo_frames(24)
    alone = Relighter(load_engine("triplane"))
    expected = [alone.still(frame, LEFT, PLAIN) for frame in frames[6:]]
    carried = _error(_played(frames)[6:], expected)

    def still(self: FlowEstimator, before: BgrImage, now: BgrImage) -> FlowField:
        y, x = np.mgrid[: len(now), : len(now)].astype(np.float32)
        return FlowField(x, y)

    monkeypatch.setattr(FlowEstimator, "estimate_flow", still)
    assert carried < 0.9 * _error(_played(frames)[6:], expected)


@pytest.mark.parametrize("frames", [12, 13])
def test_a_light_switched_to_and_fro_keeps_its_shadows(frames: int) -> None:
    """The look for the other one comes when nobody wants its shadows any more."""
    frame, relighter = demo_frames(1)[0], Relighter(load_engine("triplane"))
    for index in range(frames):
        before = relighter.process(frame, index / 30, LEFT, PLAIN)
    relighter.process(frame, frames / 30, RIGHT, PLAIN)
    for index in range(frames + 1, frames + 4):
        after = relighter.process(frame, index / 30, LEFT, PLAIN)
        assert np.abs(after.astype(int) - before).mean() < 0.2  # lost, it would be 1


@pytest.mark.parametrize("frames", [8, 9])
def test_after_a_pause_a_face_is_looked_at_anew(frames: int) -> None:
    """It has moved by then; carried along, the old light would be off by 1.6 levels."""
    before, after = demo_frames(2, 20)
    relighter = Relighter(load_engine("triplane"))
    expected = relighter.still(after, LEFT, PLAIN)
    for index in range(frames):
        relighter.process(before, index / 30, LEFT, PLAIN)
    shown = relighter.process(after, frames / 30 + 0.6, LEFT, PLAIN)
    assert np.abs(shown.astype(int) - expected).mean() < 0.8
