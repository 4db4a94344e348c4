"""When the network looks at heads, and that what it saw goes along with them."""

from concurrent.futures import Future
from dataclasses import replace

import cv2
import numpy as np
import pytest

from demo import demo_frames
from pipeline.engine import load_engine
from pipeline.face import FaceTracker
from pipeline.lighting.presets import load_presets
from pipeline.relighter import Relighter
from pipeline.timing import StageTimer
from pipeline.triplane.crop import HeadCrop
from pipeline.triplane.motion import Motion, Path
from pipeline.triplane.observer import Belief, Observer
from pipeline.types import Floats, Picture, RelightSettings

PRESETS, _ = load_presets()
LEFT, RIGHT = (PRESETS[name].lighting() for name in ("key-left", "key-right"))
PLAIN = RelightSettings()


def _played(frames: tuple[Picture, ...], interval: float) -> list[Picture]:
    relighter = Relighter(load_engine("triplane"))
    return [
        relighter.process(frame, index * interval, LEFT, PLAIN)
        for index, frame in enumerate(frames)
    ]


def _error(shown: list[Picture], expected: list[Picture]) -> float:
    pairs = zip(shown, expected, strict=True)
    return float(np.mean([np.abs(one.astype(int) - other).mean() for one, other in pairs]))


def test_motion_is_that_of_the_picture() -> None:
    """Everything in a crop moves by two cells right and one down, as does what was seen of it."""
    frame = demo_frames(1)[0]
    here = HeadCrop(np.array([640, 300], np.float32), 380.0)
    cell = here.side / 128
    there = HeadCrop(here.middle - np.array([2 * cell, cell], np.float32), here.side)
    seen, true = (crop.cut(frame, 128).astype(np.float32) for crop in (here, there))
    gray = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
    luma, later = (crop.cut(gray, 128) for crop in (here, there))
    path = Motion().between(luma, later)
    inner = (slice(8, -8), slice(8, -8))

    def error(values: Floats) -> float:
        return float(np.abs(values - true)[inner].mean())

    assert error(path.carry(seen)) < 0.4 * error(seen)
    assert np.array_equal(Motion().between(luma, luma).carry(seen), seen)


def test_light_goes_along_with_a_moving_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame of a stream is nearer to the same frame relit alone."""
    frames = demo_frames(24)
    alone = Relighter(load_engine("triplane"))
    expected = [alone.still(frame, LEFT, PLAIN) for frame in frames[6:]]
    carried = _error(_played(frames, 1 / 30)[6:], expected)

    def still(self: Motion, before: Picture, now: Picture) -> Path:
        y, x = np.mgrid[: len(now), : len(now)].astype(np.float32)
        return Path(x, y)

    monkeypatch.setattr(Motion, "between", still)
    assert carried < 0.9 * _error(_played(frames, 1 / 30)[6:], expected)


@pytest.mark.parametrize(("rate", "oldest"), [(30, 2), (10, 1)])
def test_no_frame_is_lit_by_a_look_too_old(
    rate: int, oldest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow camera's frames are looked at one by one: two of them would be a fifth of a second."""
    looks: list[tuple[float, float]] = []
    look = Observer.look

    def noted(self: Observer, *args: object) -> Future[Belief]:
        time, last = args[-2:]
        assert isinstance(time, float)
        if isinstance(last, Belief):
            looks.append((time, last.time))
        return look(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Observer, "look", noted)
    _played(demo_frames(12), 1 / rate)
    assert len(looks) == 11 // oldest
    assert all(round((time - last) * rate) == oldest for time, last in looks[1:])


@pytest.mark.parametrize("frames", [12, 13])
def test_a_light_switched_to_and_fro_keeps_its_shadows(frames: int) -> None:
    """The look for the other one, for a single frame, comes when nobody wants it any more."""
    frame, relighter = demo_frames(1)[0], Relighter(load_engine("triplane"))
    for index in range(frames):
        before = relighter.process(frame, index / 30, LEFT, PLAIN)
    relighter.process(frame, frames / 30, RIGHT, PLAIN)
    for index in range(frames + 1, frames + 4):
        after = relighter.process(frame, index / 30, LEFT, PLAIN)
        assert np.abs(after.astype(int) - before).mean() < 0.1


def test_a_face_that_was_lost_comes_back_under_a_light_of_its_own() -> None:
    """It looks elsewhere by then; carried along, the old light would be off by 2.4 levels."""
    first, later = demo_frames(2, 60)
    engine, tracker = load_engine("triplane"), FaceTracker(StageTimer())
    before, after = tracker.still(first), tracker.still(later)
    state = engine.new_state(StageTimer())
    engine.relight(first, before, LEFT, PLAIN, state)
    for index in range(1, 15):
        lost = tuple(replace(face, seen=False) for face in before.faces)
        engine.relight(first, replace(before, faces=lost, time=index / 30), LEFT, PLAIN, state)
    same = tuple(replace(face, ident=before.faces[0].ident) for face in after.faces)
    shown = engine.relight(later, replace(after, faces=same, time=0.5), LEFT, PLAIN, state)
    fresh = engine.relight(later, after, LEFT, PLAIN, engine.new_state(StageTimer()))
    assert np.abs(shown.astype(int) - fresh).mean() < 1.0
