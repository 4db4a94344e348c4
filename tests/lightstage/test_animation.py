"""The animation of the light stage's people: repeatable, smooth, alive, as necks can move."""

import numpy as np
import pytest

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.animation.animation import RATE, Animation
from vcam_relight.pipeline.lightstage.animation.pose import Pose
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack

HEAD_STEP_DEG = 1.2
"""Degrees that a head turns from one frame to the next at 30 frames a second, 36 a second (0.83 was
measured): people who look around in a meeting; a cut or a jump would be more."""

FACE_STEP = 0.3
"""Of a face unit's range from one frame to the next (0.20 was measured): a syllable opens the mouth
within some 80 ms."""

CLIP = 90  # frames, 3 s
SEEDS = range(40)


def _clip(seed: int, frames: int = CLIP) -> list[Pose]:
    animation = Animation(seed, frames)
    return [animation.pose(index) for index in range(frames)]


def _heads(poses: list[Pose]) -> FloatArray:
    return np.degrees([pose.head for pose in poses])


def _weights(poses: list[Pose], name: str) -> FloatArray:
    return np.array([pose.expression.get(name, 0.0) for pose in poses], np.float32)


def _same(a: Pose, b: Pose) -> bool:
    return a.expression == b.expression and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("head", "torso", "gaze")
    )


def test_a_seed_gives_the_same_poses_in_any_order() -> None:
    forwards, again = _clip(3), Animation(3, CLIP)
    backwards = [again.pose(index) for index in reversed(range(CLIP))][::-1]
    assert all(map(_same, forwards, backwards))
    assert not any(map(_same, forwards, _clip(4)))


def test_the_frame_rate_does_not_change_the_acting() -> None:
    slow, fast = Animation(5, 24, RATE), Animation(5, 48, 2 * RATE)
    for index in range(24):
        a, b = slow.pose(index), fast.pose(2 * index)
        assert _same(a, b)


def test_motion_is_smooth() -> None:
    for seed in SEEDS:
        poses = _clip(seed)
        assert np.abs(np.diff(_heads(poses), axis=0)).max() < HEAD_STEP_DEG, seed
        names = {name for pose in poses for name in pose.expression}
        for name in names:
            if name.startswith("eye"):  # lids and eyes jump
                continue
            assert np.abs(np.diff(_weights(poses, name))).max() < FACE_STEP, (seed, name)


def test_people_are_alive() -> None:
    """Everybody moves, nearly all blink within three seconds, many speak."""
    clips = [_clip(seed) for seed in SEEDS]
    assert min(np.ptp(_heads(poses), axis=0).max() for poses in clips) > 0.5
    lids = [_weights(poses, "eyeBlinkLeft") for poses in clips]
    assert sum(closed.max() > 0.8 for closed in lids) > 0.9 * len(clips)
    # Lids are open most of the time, and opening takes longer than closing.
    assert np.mean([closed.mean() for closed in lids]) < 0.2
    steps = np.concatenate([np.diff(closed) for closed in lids])
    assert (steps < -0.02).sum() > 1.2 * (steps > 0.02).sum()
    speaking = sum(np.ptp(_weights(poses, "jawOpen")) > 0.1 for poses in clips)
    assert 0.4 * len(clips) < speaking < 0.8 * len(clips)


def test_heads_turn_as_far_as_people_before_a_webcam_do() -> None:
    heads = np.abs(np.concatenate([_heads(_clip(seed)) for seed in SEEDS]))
    assert (heads.max(0) <= (24.01, 55.01, 15.01)).all()
    assert np.median(heads[:, 1]) < 20
    assert heads[:, 1].max() > 35


def test_eyes_stay_on_the_camera_while_the_head_turns() -> None:
    turns, looks = [], []
    for seed in SEEDS:
        pose = Animation(seed, CLIP).pose(0)
        turns.append(float(pose.head[1] + pose.torso[1]))
        looks.append(float(pose.gaze[1]))
    assert np.corrcoef(turns, looks)[0, 1] < -0.7
    assert np.abs(np.add(turns, looks)).mean() < 0.6 * np.abs(turns).mean()


def test_face_units_are_the_packs(pack: AssetPack) -> None:
    for seed in SEEDS:
        for pose in _clip(seed, 30):
            assert pose.expression.keys() <= pack.face_units.keys()
            assert all(0 <= weight <= 1 for weight in pose.expression.values())


@pytest.mark.parametrize("seed", [0, 7])
def test_a_performance_goes_on_beyond_its_frames(seed: int) -> None:
    animation = Animation(seed, 16)
    heads = _heads([animation.pose(index) for index in range(48)])
    assert np.abs(np.diff(heads, axis=0)).max() < HEAD_STEP_DEG
