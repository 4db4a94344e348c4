"""What is behind people, and that people stay."""

import cv2
import numpy as np
import pytest

from support.demo import demo_frames
from vcam_relight.pipeline.compositing.backdrop import Backdrop, BackdropCompositor, BackdropKind
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.engines.registry import load_engine
from vcam_relight.pipeline.face.segmenter import PersonSegmenter
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter

PICTURE = np.full((300, 300, 3), (200, 120, 40), np.uint8)
FRINGE = 10
"""Of 255, mean error of an edge whose mask is right: the old room would leave 20."""


def seen(frame: BgrImage, mask: FloatArray) -> FaceState:
    return FaceState(frame.shape[1::-1], frame, 0.0, (), mask, shot_change=False)


def disc(size: int = 320) -> FloatArray:
    y, x = np.mgrid[:size, :size].astype(np.float32) - size / 2
    return np.asarray(np.clip((size / 3 - np.hypot(x, y)) / 3 + 0.5, 0, 1), np.float32)


def over(front: BgrImage, alpha: FloatArray, back: BgrImage) -> BgrImage:
    mixed = front * alpha[..., None] + back * (1 - alpha[..., None])
    return np.asarray(np.round(mixed), np.uint8)


@pytest.mark.parametrize("kind", ["blur", "dim", "gray", "color", "picture"])
def test_the_person_stays_and_the_room_changes(kind: BackdropKind) -> None:
    frame = cv2.resize(demo_frames(1)[0], (640, 360))
    off = load_presets()[0]["off"].lighting()
    with Relighter(load_engine("passthrough")) as relighter:
        assert relighter.process(frame, 0.0, off, RelightSettings()) is frame
        assert "face" not in relighter.timer.ms, "nothing is looked for where nothing changes"
        relighter.backdrop = Backdrop(kind, 0.8, (20, 200, 60), PICTURE)
        shown = relighter.process(frame, 1 / 30, off, RelightSettings())
        again = relighter.process(frame, 2 / 30, off, RelightSettings())
        relighter.backdrop = Backdrop()
        assert relighter.process(frame, 3 / 30, off, RelightSettings()) is frame
    face = np.s_[100:190, 270:345]
    assert np.array_equal(shown[face], frame[face])
    room = np.s_[10:120, 20:200]
    assert np.abs(shown[room].astype(int) - frame[room]).mean() > 1.5
    assert np.abs(again.astype(int) - shown).max() <= 1, "a still picture stays still"


def test_nobody_runs_into_the_blurred_room() -> None:
    alpha = disc()
    room = np.full((320, 320, 3), 40, np.uint8)
    frame = over(np.full_like(room, 230), alpha, room)
    shown = BackdropCompositor().apply(frame, seen(frame, alpha), Backdrop("blur", 1.0))
    outside = cv2.dilate(alpha, np.ones((9, 9))) == 0
    assert np.abs(shown[outside].astype(int) - 40).max() <= 3


def test_the_old_room_leaves_no_fringe_around_a_person() -> None:
    alpha, rng = disc(), np.random.default_rng(0)
    person = cv2.resize(rng.integers(30, 90, (6, 6, 3), np.uint8), (320, 320))
    old, new = np.full((320, 320, 3), (60, 230, 80), np.uint8), (40, 20, 150)
    frame = over(np.asarray(person, np.uint8), alpha, old)
    shown = BackdropCompositor().apply(frame, seen(frame, alpha), Backdrop("color", color=new))
    right = over(np.asarray(person, np.uint8), alpha, np.full_like(frame, new[::-1]))
    edge = cv2.dilate(np.asarray((alpha > 0) & (alpha < 1), np.uint8), np.ones((5, 5))) > 0
    assert np.abs(shown[edge].astype(int) - right[edge]).mean() < FRINGE


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (641, 359)])
def test_any_size_is_taken(size: tuple[int, int]) -> None:
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    faces = seen(frame, np.ones((1, 1), np.float32))
    for kind in ("blur", "dim", "gray", "color", "picture"):
        backdrop = Backdrop(kind, picture=PICTURE)
        assert BackdropCompositor().apply(frame, faces, backdrop).shape == frame.shape


def test_a_turned_person_is_cut_out_along_the_turned_outline() -> None:
    (frame,) = demo_frames(1)
    off, settings = load_presets()[0]["off"].lighting(), RelightSettings(yaw=14)
    green = (0, 255, 0)
    with Relighter(load_engine("triplane")) as relighter:
        turned = relighter.still(frame, off, settings)
        relighter.backdrop = Backdrop("color", color=green)
        shown = relighter.still(frame, off, settings)
    mask = cv2.resize(PersonSegmenter().segment(turned), turned.shape[1::-1])
    person = cv2.erode(np.asarray(mask > 0.9, np.uint8), np.ones((9, 9))) > 0
    lost = np.abs(shown.astype(int) - turned).max(axis=2)[person] > 40
    assert lost.mean() < 0.001
