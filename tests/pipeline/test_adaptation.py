"""From the lighting that there is to the one that a frame gets: one policy for all engines."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import cv2
import numpy as np
import pytest

from support.demo import demo_frames
from support.paper_parts import Stub
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.engines.paper.engine import PaperEngine
from vcam_relight.pipeline.engines.paper.pose import FacePose
from vcam_relight.pipeline.engines.registry import load_engine
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import AUTO, OFF, Lighting
from vcam_relight.pipeline.lighting.adaptation import LightAdapter
from vcam_relight.pipeline.lighting.exposure import AMBIENT, exposure
from vcam_relight.pipeline.lighting.lights import Light, lights_to_sh

PLAIN = RelightSettings()
SIDE = lights_to_sh([Light(-60, 20, (3, 2, 1))], (0.3, 0.3, 0.3))

CARRIED_LEVELS = 5
"""Of 255, between two frames of a still head, whose maps the flow's rounding moves, and whose noise
is averaged out."""


@pytest.fixture(scope="module")
def back_lit() -> tuple[BgrImage, FaceState]:
    """A face before a bright wall, as the tracker finds it."""
    frame = demo_frames(1)[0]
    with closing(FaceTracker(StageTimer())) as tracker:
        mask = cv2.resize(tracker.still(frame).mask, (1280, 720))[..., None]
        dark = np.asarray(frame * 0.35 * mask + 245.0 * (1 - mask), np.uint8)
        faces = tracker.still(dark)
    assert len(faces.faces) == 1
    return dark, faces


def lost(faces: FaceState, time: float) -> FaceState:
    """The same, a while later, the face covered."""
    covered = tuple(replace(face, visible=False) for face in faces.faces)
    return replace(faces, faces=covered, time=time)


ENGINES: dict[str, Callable[[], Engine]] = {
    "geometry": lambda: load_engine("geometry"),
    "triplane": lambda: load_engine("triplane"),
    "paper": lambda: PaperEngine(Stub(add=0.0), FacePose()),
}


@pytest.mark.parametrize("name", ENGINES)
def test_the_auto_lift_holds_while_a_lost_face_fades(
    name: str, back_lit: tuple[BgrImage, FaceState]
) -> None:
    """What tells how dark a face is goes with its skin; in the same image the light stays."""
    frame, faces = back_lit
    with closing(ENGINES[name]()) as engine:
        stream = engine.open_stream(StageTimer())
        before = stream.relight(frame, faces, AUTO, PLAIN)
        assert before.mean() > frame.mean() or name == "paper"
        for index in range(1, 12):
            after = stream.relight(frame, lost(faces, index / 30), AUTO, PLAIN)
            assert np.abs(after.astype(int) - before).max() <= CARRIED_LEVELS
        stream.close()


def target(
    adapter: LightAdapter, lighting: Lighting, seen: tuple[BgrImage, FaceState], **settings: float
) -> FloatArray:
    lift = adapter.lift(FrameContext(*seen))
    return adapter.target(lighting, RelightSettings(**settings), AMBIENT, lift).light.sh


def test_a_lighting_comes_at_the_exposure_that_there_is(
    back_lit: tuple[BgrImage, FaceState],
) -> None:
    adapter = LightAdapter()
    dim, bright = (
        target(adapter, Lighting.from_sh(SIDE * scale), back_lit) for scale in (0.1, 10.0)
    )
    assert dim == pytest.approx(bright, rel=1e-4)
    even = target(adapter, Lighting.from_sh(SIDE), back_lit, fill=1.0)
    assert np.abs(even[1:]).max() < 1e-6
    assert exposure(even) == pytest.approx(exposure(dim), rel=1e-4)


def test_off_is_the_source_lighting_whatever_the_controls(
    back_lit: tuple[BgrImage, FaceState],
) -> None:
    assert np.array_equal(target(LightAdapter(), OFF, back_lit, warmth=1.0, fill=1.0), AMBIENT)


def test_the_source_lighting_is_followed_slowly_and_held_where_nothing_tells_it() -> None:
    adapter = LightAdapter()
    assert np.array_equal(adapter.observe(None, 0.0), AMBIENT)
    assert np.array_equal(adapter.observe(SIDE, 0.1), SIDE)
    held = adapter.observe(None, 1.0)
    assert np.array_equal(held, SIDE)
    moved = adapter.observe(AMBIENT, 1.1)
    assert 0 < np.abs(moved - SIDE).max() < 0.3 * np.abs(AMBIENT - SIDE).max()
    assert np.abs(adapter.observe(AMBIENT, 60.0) - AMBIENT).max() < 1e-3
    adapter.reset()
    assert np.array_equal(adapter.observe(None, 61.0), AMBIENT)
