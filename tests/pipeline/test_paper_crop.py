"""From a wild image to the paper's crop and camera, and back into the frame."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from support.demo import demo_frames
from support.paper_parts import landmarks, seen
from support.tolerances import ROUNDED
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.engines.paper import CheckpointError, look_at
from vcam_relight.pipeline.engines.paper.crop import (
    TEMPLATE,
    Square,
    five_points,
    paste,
    person_coverage,
)
from vcam_relight.pipeline.engines.paper.deep3d import Deep3dNetwork, Deep3dPose, rotation_of
from vcam_relight.pipeline.engines.paper.pose import FacePose, head_camera
from vcam_relight.pipeline.face.models import load_pose_basis

CROP_PLACE = 32.0
"""Of 512 pixels, between where a face's five points land and where a standard face's would: a
nose sinks by 27 when its head is lowered by the demo's 17 degrees."""

POSE_DEG = 2.0
"""Of a head's turn from landmarks with noise of 1.5 pixels on a face 360 pixels high: 0.6 degrees
were measured."""

NOTHING = np.zeros((8, 8, 3), np.uint8)


def turned_head(yaw: float, pitch: float, roll: float) -> tuple[FloatArray, FloatArray]:
    """Landmarks of the canonical face turned by degrees about y, x and z, and the rotation."""
    indices, _, points = load_pose_basis()
    turn = np.eye(3)
    for axis, angle in (((0, 0, 1), roll), ((1, 0, 0), pitch), ((0, 1, 0), yaw)):
        turn = cv2.Rodrigues(np.radians(angle) * np.array(axis, float))[0] @ turn
    marks = np.zeros((468, 3), np.float32)
    marks[indices] = (points @ turn.T * [1, -1, -1]) * 20 + [600, 300, 0]
    return marks, np.asarray(turn, np.float32)


# The crop


def test_a_standard_face_lands_where_eg3d_puts_it() -> None:
    marks = np.zeros((468, 3), np.float32)
    for group, point in zip(((33, 133), (263, 362), (4,), (61,), (291,)), TEMPLATE, strict=True):
        marks[list(group)] = point * [1, -1, -1] * 137 + [400, 250, 0]
    square = Square.around(marks)
    # 300 pixels a unit, the middle 700 pixels become 512
    wanted = 256 + 300 * 512 / 700 * TEMPLATE[:, :2] * [1, -1]
    found = square.to_crop(five_points(marks), 512)
    assert np.abs(found - wanted).max() < ROUNDED
    assert square.side == pytest.approx(137 * 700 / 300, rel=1e-4)


def test_a_real_face_lands_near_it_and_its_pixels_with_it() -> None:
    frame, square = demo_frames(1)[0], Square.around(landmarks())
    found = square.to_crop(five_points(landmarks()), 512)
    wanted = 256 + 300 * 512 / 700 * TEMPLATE[:, :2] * [1, -1]
    assert np.abs(found - wanted).max() < CROP_PLACE
    dotted = frame.copy()
    for x, y in five_points(landmarks()):
        cv2.circle(dotted, (round(float(x)), round(float(y))), 3, (0, 255, 0), -1)
    crop = square.cut(dotted, 512)
    for x, y in found:
        red, green, blue = (int(v) for v in crop[round(float(y)), round(float(x))])
        assert green > 200 and blue < 80 and red < 80


@pytest.mark.parametrize("side", [150.0, 512.0, 900.0])
def test_an_unchanged_crop_returns_the_frame(side: float) -> None:
    frame = demo_frames(1)[0]
    square = Square(611.3, 350.8, side)
    window = square.window((1280, 720))
    assert window is not None
    crop = square.cut(frame, 512)
    out = paste(frame, square, crop.astype(np.float32), square.edges(window), crop)
    assert np.array_equal(out, frame)


def test_what_is_pasted_lies_where_it_was_cut() -> None:
    frame = cv2.GaussianBlur(demo_frames(1)[0], (0, 0), 4)
    square = Square(611.3, 350.8, 400.0)
    window = square.window((1280, 720))
    assert window is not None
    whole = np.ones(square.edges(window).shape, np.float32)
    image = square.cut(frame, 512).astype(np.float32)
    back = paste(frame, square, image, whole, None)[window.slices].astype(int)
    error = np.abs(back - frame[window.slices])
    assert error[2:-2, 2:-2].max() <= 2


def test_a_square_beyond_the_frame_is_filled_and_pasted() -> None:
    frame = demo_frames(1)[0]
    square = Square(20.0, 700.0, 300.0)
    crop = square.cut(frame, 512)
    assert crop[:, :100].any() and crop[-100:].any()
    window = square.window((1280, 720))
    assert window is not None
    share = square.edges(window)
    out = paste(frame, square, np.zeros((512, 512, 3), np.float32), share, None)
    assert not np.array_equal(out, frame)
    assert Square(-400.0, 100.0, 300.0).window((1280, 720)) is None


def test_the_share_is_inside_the_mask_and_the_square() -> None:
    square = Square.around(landmarks())
    window = square.window((1280, 720))
    assert window is not None
    share = person_coverage(seen().mask, (1280, 720), window) * square.edges(window)
    mask = cv2.resize(seen().mask, (1280, 720))[window.slices]
    assert share.max() == 1.0 and share.min() == 0.0
    assert share[mask < 0.3].max() == 0.0
    assert max(share[0].max(), share[:, 0].max(), share[:, -1].max()) < 0.1


# The pose


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (35, 0, 0), (-20, 15, 10)])
def test_a_known_turn_is_found_also_with_noise(yaw: float, pitch: float, roll: float) -> None:
    marks, turn = turned_head(yaw, pitch, roll)
    marks += np.random.default_rng(1).normal(0, 1.5, marks.shape).astype(np.float32)
    found = cv2.Rodrigues(FacePose().rotation(NOTHING, marks))[0]
    off, _ = cv2.Rodrigues(found @ turn.T)
    assert np.degrees(np.linalg.norm(off)) < POSE_DEG


def test_the_camera_goes_round_the_head_as_the_head_turns() -> None:
    still = np.zeros(3, np.float32)
    for yaw, pitch in ((0.0, 0.0), (20.0, 0.0), (0.0, -12.0), (-25.0, 10.0)):
        # EG3D's cameras look beside its origin by what the middle of the face is off it
        assert head_camera(still, yaw, pitch)[0, :3].numpy() == pytest.approx(
            look_at(yaw, pitch)[0, :3].numpy(), abs=1e-6
        )
    marks, _ = turned_head(-30, 0, 0)  # towards the left of the image: seen from its left
    camera = head_camera(FacePose().rotation(NOTHING, marks), 0, 0)[0, :16].view(4, 4)
    assert camera[0, 3] > 1.2
    assert torch.linalg.norm(camera[:3, 3]) == pytest.approx(2.7, abs=1e-4)
    back = head_camera(FacePose().rotation(NOTHING, marks), -30, 0)
    assert torch.allclose(back[0, :3], look_at(0, 0)[0, :3], atol=2e-2)


# The pose by Deep3DFaceRecon


def random_deep3d() -> dict[str, Tensor]:
    state = {}
    generator = torch.Generator().manual_seed(0)
    for name, value in Deep3dNetwork().state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith(("bias", "running_mean")):
            state[name] = torch.zeros(value.shape)
        elif value.dim() == 1:
            state[name] = torch.ones(value.shape)
        else:
            random = torch.empty(value.shape).normal_(generator=generator)
            state[name] = random / value[0].numel() ** 0.5
    return state


def test_deep3d_weights_load_as_released_and_turn_the_head(tmp_path: Path) -> None:
    state, path = random_deep3d(), tmp_path / "epoch_20.pth"
    # a ResNet-50 without its classifier, and seven heads
    assert sum(v.numel() for v in state.values()) == pytest.approx(24.0e6, rel=0.01)
    torch.save({"net_recon": state, "opt_00": {"state": {}}}, path)
    pose = Deep3dPose.load(path)
    first = pose.rotation(demo_frames(1)[0], landmarks())
    assert first.shape == (3,) and np.isfinite(first).all() and first.any()
    assert np.array_equal(first, pose.rotation(demo_frames(1)[0], landmarks()))
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="holds no net_recon"):
        Deep3dPose.load(path)
    del state["backbone.layer4.2.conv3.weight"]
    torch.save({"net_recon": state}, path)
    with pytest.raises(CheckpointError, match=r"layer4\.2\.conv3\.weight is missing"):
        Deep3dPose.load(path)
    with pytest.raises(FileNotFoundError, match="VCAM_DEEP3D_CHECKPOINT"):
        Deep3dPose.load(tmp_path / "none.pth")


def test_deep3d_angles_turn_about_x_then_y_then_z() -> None:
    marks, _ = turned_head(0, 0, 30)
    assert rotation_of(np.array([0, 0, np.pi / 6], np.float32)) == pytest.approx(
        FacePose().rotation(NOTHING, marks), abs=1e-3
    )
    # looking up by x, and then turned to the right of the image by y
    turn = cv2.Rodrigues(rotation_of(np.array([-0.3, 0.5, 0.0], np.float32)))[0]
    nose = turn @ [0, 0, 1]
    assert nose == pytest.approx(
        [np.sin(0.5) * np.cos(0.3), np.sin(0.3), np.cos(0.5) * np.cos(0.3)]
    )
