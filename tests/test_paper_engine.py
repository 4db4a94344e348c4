"""The paper's network as a camera filter: crop, pose, paste, and how it fails."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import Tensor

from demo import demo_frames
from paper_weights import random_network
from pipeline.color import decode_srgb
from pipeline.face import FaceTracker
from pipeline.face.models import load_pose_basis
from pipeline.lighting import AUTO, OFF, Lighting
from pipeline.lighting.light import Light, lights_to_sh
from pipeline.paper import CheckpointError, Outputs, PaperModel, TemporalState, look_at
from pipeline.paper.crop import TEMPLATE, Square, five_points, paste, person_share
from pipeline.paper.deep3d import Deep3dNetwork, Deep3dPose, rotation_of
from pipeline.paper.engine import PaperEngine, PaperState
from pipeline.paper.light import EXPOSURE, LightMemory, LightSetter
from pipeline.paper.pose import PoseFinder, head_camera
from pipeline.paper.temporal import new_state
from pipeline.present_light import AMBIENT
from pipeline.relighter import Relighter
from pipeline.timing import StageTimer
from pipeline.types import Face, FaceState, Floats, Picture, RelightSettings
from tolerances import CROP_PLACE, POSE_DEG, ROUNDED
from vcam.cli import main
from web_parts import running

LEFT = Lighting.from_sh(lights_to_sh([Light(-60, 20, (1, 1, 1))], (0.3, 0.3, 0.3)))
NOTHING = np.zeros((8, 8, 3), np.uint8)
PLAIN = RelightSettings()


@cache
def seen() -> FaceState:
    """What the tracker knows of the first frame of the demo clip."""
    return FaceTracker(StageTimer()).still(demo_frames(1)[0])


def landmarks() -> Floats:
    return seen().faces[0].landmarks


def turned_head(yaw: float, pitch: float, roll: float) -> tuple[Floats, Floats]:
    """Landmarks of the canonical face turned by degrees about y, x and z, and the rotation."""
    indices, _, points = load_pose_basis()
    turn = np.eye(3)
    for axis, angle in (((0, 0, 1), roll), ((1, 0, 0), pitch), ((0, 1, 0), yaw)):
        turn = cv2.Rodrigues(np.radians(angle) * np.array(axis, float))[0] @ turn
    marks = np.zeros((468, 3), np.float32)
    marks[indices] = (points @ turn.T * [1, -1, -1]) * 20 + [600, 300, 0]
    return marks, np.asarray(turn, np.float32)


# Crop and pose


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
        blue, green, red = (int(v) for v in crop[round(float(y)), round(float(x))])
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
    picture = square.cut(frame, 512).astype(np.float32)
    back = paste(frame, square, picture, whole, None)[window.slices].astype(int)
    error = np.abs(back - frame[window.slices])
    assert error[2:-2, 2:-2].max() <= 1


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
    share = person_share(seen().mask, (1280, 720), window) * square.edges(window)
    mask = cv2.resize(seen().mask, (1280, 720))[window.slices]
    assert share.max() == 1.0 and share.min() == 0.0
    assert share[mask < 0.3].max() == 0.0
    assert max(share[0].max(), share[:, 0].max(), share[:, -1].max()) < 0.1


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (35, 0, 0), (-20, 15, 10)])
def test_a_known_turn_is_found_also_with_noise(yaw: float, pitch: float, roll: float) -> None:
    marks, turn = turned_head(yaw, pitch, roll)
    marks += np.random.default_rng(1).normal(0, 1.5, marks.shape).astype(np.float32)
    found = cv2.Rodrigues(PoseFinder().rotation(NOTHING, marks))[0]
    off, _ = cv2.Rodrigues(found @ turn.T)
    assert np.degrees(np.linalg.norm(off)) < POSE_DEG


def test_the_camera_goes_round_the_head_as_the_head_turns() -> None:
    still = np.zeros(3, np.float32)
    for yaw, pitch in ((0.0, 0.0), (20.0, 0.0), (0.0, -12.0), (-25.0, 10.0)):
        # EG3D's cameras look beside its origin by what the middle of the face is off it
        assert head_camera(still, yaw, pitch)[0, :3].numpy() == pytest.approx(
            look_at(yaw, pitch)[0, :3].numpy(), abs=1e-6
        )
    marks, _ = turned_head(-30, 0, 0)  # towards the left of the picture: seen from its left
    camera = head_camera(PoseFinder().rotation(NOTHING, marks), 0, 0)[0, :16].view(4, 4)
    assert camera[0, 3] > 1.2
    assert torch.linalg.norm(camera[:3, 3]) == pytest.approx(2.7, abs=1e-4)
    back = head_camera(PoseFinder().rotation(NOTHING, marks), -30, 0)
    assert torch.allclose(back[0, :3], look_at(0, 0)[0, :3], atol=2e-2)


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
        PoseFinder().rotation(NOTHING, marks), abs=1e-3
    )
    # looking up by x, and then turned to the right of the picture by y
    turn = cv2.Rodrigues(rotation_of(np.array([-0.3, 0.5, 0.0], np.float32)))[0]
    nose = turn @ [0, 0, 1]
    assert nose == pytest.approx(
        [np.sin(0.5) * np.cos(0.3), np.sin(0.3), np.cos(0.5) * np.cos(0.3)]
    )


# The light


def test_the_light_is_gray_and_of_the_networks_size() -> None:
    setter, frame = LightSetter(), demo_frames(1)[0]
    wanted = setter.wanted(frame, seen(), LEFT, PLAIN, LightMemory())
    assert wanted.sh.shape == (9,) and wanted.gain == pytest.approx(np.ones(3), abs=1e-3)
    assert 0.5 < wanted.sh[0] < 1.1 and wanted.sh[3] < -0.2
    again = setter.wanted(frame, seen(), Lighting.from_sh(LEFT.sh * 9), PLAIN, LightMemory())
    assert again.sh == pytest.approx(wanted.sh, abs=1e-4)
    red = setter.wanted(frame, seen(), Lighting.from_sh(LEFT.sh * [2, 1, 1]), PLAIN, LightMemory())
    assert red.gain[2] > 1.3 * red.gain[0]
    bright = setter.wanted(frame, seen(), LEFT, RelightSettings(intensity=2.0), LightMemory())
    assert bright.gain == pytest.approx(2 * wanted.gain, rel=1e-5)
    filled = setter.wanted(frame, seen(), LEFT, RelightSettings(fill=1.0), LightMemory())
    assert np.abs(filled.sh[1:]).max() < 1e-6


def test_auto_and_another_view_start_from_the_present_light() -> None:
    asked: list[FaceState] = []

    def estimate(faces: FaceState, frame: Picture) -> Floats:
        asked.append(faces)
        return np.asarray(AMBIENT * [1, 1, 1], np.float32)

    setter, frame = LightSetter(estimate), demo_frames(1)[0]
    off = setter.wanted(frame, seen(), OFF, PLAIN, LightMemory())
    assert off.sh == pytest.approx(EXPOSURE * AMBIENT[:, 0], abs=1e-5)
    auto = setter.wanted(frame, seen(), AUTO, PLAIN, LightMemory())
    assert auto.sh[1] < -0.05 and (auto.gain >= 1).all()
    assert len(asked) == 2
    setter.wanted(frame, seen(), LEFT, PLAIN, LightMemory())
    assert len(asked) == 2


# The engine around a network


@dataclass
class Call:
    picture: Tensor
    sh: Tensor
    camera: Tensor


class Stub:
    """Gives the picture back, brighter by `add`."""

    def __init__(self, add: float = 0.2) -> None:
        self.size = 512
        self.timer = StageTimer()
        self.add = add
        self.calls: list[Call] = []

    def new_state(self) -> TemporalState:
        return new_state(1, torch.device("cpu"))

    def video_frame(
        self, picture: Tensor, sh: Tensor, camera: Tensor, state: TemporalState
    ) -> Outputs:
        self.calls.append(Call(picture, sh, camera))
        with self.timer.stage("network"):
            none = torch.empty(0)
            return Outputs(picture + self.add, none, none, none, none, none, none)


def engine(stub: Stub) -> tuple[PaperEngine, PaperState]:
    made = PaperEngine(stub, LightSetter(), PoseFinder())
    return made, made.new_state(StageTimer())


def test_the_head_changes_and_nothing_else() -> None:
    stub, frame = Stub(), demo_frames(1)[0]
    paper, state = engine(stub)
    out = paper.relight(frame, seen(), LEFT, PLAIN, state)
    changed = (out != frame).any(axis=2)
    mask = cv2.resize(seen().mask, (1280, 720))
    square = Square.around(landmarks())
    window = square.window((1280, 720))
    assert window is not None
    outside = np.ones((720, 1280), bool)
    outside[window.slices] = False
    assert not changed[outside | (mask < 0.3)].any()
    x, y = landmarks()[4, :2].astype(int)
    step = out[y, x].astype(float) - frame[y, x]
    assert step == pytest.approx(np.full(3, 25.5), abs=2)
    assert set(state.timer.ms) == {"crop and pose", "light", "network", "paste"}
    (call,) = stub.calls
    assert call.picture.shape == (1, 3, 512, 512) and call.picture.abs().max() <= 1
    assert call.sh.shape == (1, 9) and call.camera.shape == (1, 25)
    crop = square.cut(frame, 512).astype(float)
    assert np.abs(call.picture[0, 0].numpy() * 127.5 + 127.5 - crop[..., 2]).mean() < ROUNDED


def test_an_unchanged_head_gives_the_frame_back() -> None:
    frame = demo_frames(1)[0]
    paper, state = engine(Stub(add=0.0))
    out = paper.relight(frame, seen(), LEFT, PLAIN, state)
    assert np.abs(out.astype(int) - frame).max() <= 1


def test_strength_intensity_and_warmth_reach_the_picture() -> None:
    frame = demo_frames(1)[0]
    x, y = landmarks()[4, :2].astype(int)

    def nose(**settings: float) -> Floats:
        paper, state = engine(Stub())
        out = paper.relight(frame, seen(), LEFT, RelightSettings(**settings), state)
        return np.asarray(out[y, x], np.float32)

    before, full = frame[y, x].astype(np.float32), nose()
    assert nose(strength=0.5) == pytest.approx((before + full) / 2, abs=1.5)
    assert nose(strength=0.0) == pytest.approx(before)
    linear = decode_srgb(full / 255)
    assert decode_srgb(nose(intensity=0.5) / 255) == pytest.approx(linear / 2, abs=0.01)
    warm = nose(warmth=1.0)
    assert warm[2] > full[2] and warm[0] < full[0]


def test_without_a_face_or_a_light_the_frame_passes() -> None:
    stub, frame = Stub(), demo_frames(1)[0]
    paper, state = engine(stub)
    nobody = replace(seen(), faces=())
    assert paper.relight(frame, nobody, LEFT, PLAIN, state) is frame
    assert paper.relight(frame, seen(), OFF, PLAIN, state) is frame
    assert not stub.calls


def test_another_view_replaces_the_square_from_the_present_light() -> None:
    stub, frame = Stub(), demo_frames(1)[0]
    paper, state = engine(stub)
    out = paper.relight(frame, seen(), OFF, RelightSettings(yaw=20.0), state)
    paper.relight(frame, seen(), OFF, RelightSettings(yaw=0.0, pitch=5.0), state)
    x, y = round(Square.around(landmarks()).x), round(Square.around(landmarks()).y)
    assert (out[y, x] > frame[y, x]).all()
    assert stub.calls[0].camera[0, 3] > stub.calls[1].camera[0, 3] + 0.5


def test_a_still_head_comes_to_rest_and_a_moving_one_is_followed() -> None:
    stub, frame = Stub(), demo_frames(1)[0]
    paper, state = engine(stub)
    random = np.random.default_rng(1)

    def at(time: float, shift: float, noise: float) -> FaceState:
        marks = landmarks() + random.normal(0, noise, (468, 3)).astype(np.float32)
        face = Face(1, marks + np.array([shift, 0, 0], np.float32), 1.0, True)
        return replace(seen(), time=time, faces=(face,))

    for index in range(20):
        paper.relight(frame, at(index / 30, 0.0, 0.02), LEFT, PLAIN, state)
    for call in stub.calls[1:]:
        assert torch.equal(call.camera, stub.calls[0].camera)
        assert torch.equal(call.picture, stub.calls[0].picture)
    for index in range(20, 50):
        paper.relight(frame, at(index / 30, (index - 19) * 8.0, 0.0), LEFT, PLAIN, state)
    moved = Square.around(landmarks() + np.array([240.0, 0, 0], np.float32)).cut(frame, 512)
    last = stub.calls[-1].picture[0].flip(0).permute(1, 2, 0).numpy() * 127.5 + 127.5
    assert np.abs(last - moved).mean() < 6


def test_a_new_face_starts_anew_and_the_one_followed_is_kept() -> None:
    stub, frame = Stub(), demo_frames(1)[0]
    paper, state = engine(stub)
    small = Face(7, landmarks() * 0.5, 1.0, True)
    large = Face(8, landmarks(), 1.0, True)
    paper.relight(frame, replace(seen(), faces=(small,)), LEFT, PLAIN, state)
    assert state.face == 7
    paper.relight(frame, replace(seen(), faces=(large, small)), LEFT, PLAIN, state)
    assert state.face == 7
    paper.relight(frame, replace(seen(), faces=(small, large), time=0.1), LEFT, PLAIN, state)
    assert torch.equal(stub.calls[0].picture, stub.calls[2].picture)
    paper.relight(frame, replace(seen(), faces=(large,)), LEFT, PLAIN, state)
    assert state.face == 8
    state.reset()
    assert state.face is None and state.ring.count == 0


def test_the_network_itself_in_its_place() -> None:
    relighter = Relighter(PaperEngine(PaperModel(random_network(64)), LightSetter(), PoseFinder()))
    frame = demo_frames(1)[0]
    out = relighter.process(frame, 0.0, LEFT, PLAIN)
    assert (out != frame).any() and np.array_equal(out[:, :200], frame[:, :200])
    assert {"deeplab", "temporal", "render", "superresolution", "paste"} <= set(relighter.timer.ms)


# The weights


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "nowhere" / "model.pth"
    monkeypatch.setenv("VCAM_PAPER_CHECKPOINT", str(path))
    return path


def test_missing_weights_are_one_line(
    no_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    cv2.imwrite(str(source), demo_frames(1)[0])
    for command in (["image", str(source), str(target)], ["bench"]):
        assert main([*command, "--engine", "paper"]) == 1
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1 and str(no_weights) in said
        assert "authors" in said and "VCAM_PAPER_CHECKPOINT" in said
    assert not target.exists()


def test_live_the_picture_passes_and_the_reason_is_told(no_weights: Path) -> None:
    done = subprocess.run(
        [sys.executable, "run_vcam.py", "--source", "demo", "--sink", "none", "--no-browser",
         "--port", "0", "--seconds", "4", "--engine", "paper", "--record",
         str(no_weights.parent.parent / "out.mp4")],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
        env=os.environ | {"XDG_CONFIG_HOME": str(no_weights.parent.parent)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "passes through unchanged" in done.stderr and "VCAM_PAPER_CHECKPOINT" in done.stderr
    assert "Traceback" not in done.stderr
    assert int(done.stdout.split(" out (")[0].split()[-1]) > 10


async def test_the_panel_offers_the_engine_and_its_views() -> None:
    async with running() as served, served.panel() as panel:
        hello = await panel.receive_json()
        assert "paper" in hello["engines"]
        status, answer = await served.post("/api/settings", {"engine": "paper", "yaw": 20.0})
        assert (status, answer["settings"]["engine"]) == (200, "paper"), answer
        assert "yaw" not in (await served.get("/api/state"))["deaf_to"]


@pytest.mark.slow
def test_picture_and_bench_with_a_file_of_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "model.pth"
    torch.save(random_network(512).state_dict(), weights)
    monkeypatch.setenv("VCAM_PAPER_CHECKPOINT", str(weights))
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    frame = demo_frames(1)[0]
    cv2.imwrite(str(source), frame)
    try:
        assert main(["image", str(source), str(target), "--engine", "paper", "--yaw", "10"]) == 0
        out = cv2.imread(str(target))
        assert out is not None and (out != frame).any()
        assert main(["bench", "--engine", "paper", "--frames", "1", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        print(json.dumps(report["results"]["paper"]["stages_ms"], indent=1))
        stages = set(report["results"]["paper"]["stages_ms"])
        assert {"crop and pose", "deeplab", "temporal", "render", "paste"} <= stages
    finally:
        weights.unlink()  # half a gigabyte
