"""The paper's network as a camera filter: crop, pose, paste, and how it fails."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from support.demo import demo_frames
from support.live_parts import running as live
from support.paper_parts import LEFT, PLAIN, Stub, landmarks, seen
from support.paper_weights import random_network
from support.stand_ins import wait_for
from support.tolerances import ROUNDED
from support.web_parts import running
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.color import decode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.paper import PaperModel
from vcam_relight.pipeline.engines.paper.crop import Square
from vcam_relight.pipeline.engines.paper.engine import PaperEngine, PaperStream
from vcam_relight.pipeline.engines.paper.light import EXPOSURE, NetworkLight
from vcam_relight.pipeline.engines.paper.pose import FacePose
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.types import Face, FaceState
from vcam_relight.pipeline.lighting import AUTO, OFF, Lighting
from vcam_relight.pipeline.lighting.adaptation import LightAdapter
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.lift import NO_LIFT
from vcam_relight.pipeline.relighter import Relighter
from vcam_relight.vcam.cli.main import main

# The light


def network_light(lighting: Lighting, **settings: float) -> NetworkLight:
    """What the network is asked for, before a face in even light."""
    controls = RelightSettings(**settings)
    target = LightAdapter().target(lighting, controls, AMBIENT, NO_LIFT)
    return NetworkLight.of(target, controls.intensity)


def test_the_light_is_gray_and_of_the_networks_size() -> None:
    plain = network_light(LEFT)
    assert plain.sh.shape == (9,) and plain.gain == pytest.approx(np.ones(3), abs=1e-3)
    assert 0.5 < plain.sh[0] < 1.1 and plain.sh[3] < -0.2
    assert network_light(Lighting.from_sh(LEFT.sh * 9)).sh == pytest.approx(plain.sh, abs=1e-4)
    red = network_light(Lighting.from_sh(LEFT.sh * [2, 1, 1]))
    assert red.gain[0] > 1.3 * red.gain[2]
    assert network_light(LEFT, intensity=2.0).gain == pytest.approx(2 * plain.gain, rel=1e-5)
    assert np.abs(network_light(LEFT, fill=1.0).sh[1:]).max() < 1e-6


def test_auto_and_another_view_start_from_the_source_lighting() -> None:
    observed: list[FrameContext] = []

    def estimate(context: FrameContext) -> FloatArray:
        observed.append(context)
        return AMBIENT

    stub, frame = Stub(), demo_frames(1)[0]
    stream = PaperEngine(stub, FacePose(), estimate).open_stream(StageTimer())
    stream.relight(frame, seen(), OFF, RelightSettings(yaw=10.0, fill=1.0, intensity=2.0))
    assert stub.calls[-1].sh[0].numpy() == pytest.approx(EXPOSURE * AMBIENT[:, 0], abs=1e-5)
    dark = np.asarray(frame // 3, np.uint8)
    stream.relight(dark, replace(seen(), small=dark), AUTO, PLAIN)
    assert stub.calls[-1].sh[0, 1] < -0.05, "a soft light from the front is added"
    assert len(observed) == 2
    stream.relight(frame, seen(), LEFT, PLAIN)
    assert len(observed) == 2


# The engine around a network


def open_stream(stub: Stub) -> PaperStream:
    return PaperEngine(stub, FacePose()).open_stream(StageTimer())


def test_the_head_changes_and_nothing_else() -> None:
    stub, frame = Stub(), demo_frames(1)[0]
    paper = open_stream(stub)
    out = paper.relight(frame, seen(), LEFT, PLAIN)
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
    assert set(stub.timer.ms) == {"crop and pose", "light", "network", "paste"}
    (call,) = stub.calls
    assert call.image.shape == (1, 3, 512, 512) and call.image.abs().max() <= 1
    assert call.sh.shape == (1, 9) and call.camera.shape == (1, 25)
    crop = square.cut(frame, 512).astype(float)
    assert np.abs(call.image[0, 0].numpy() * 127.5 + 127.5 - crop[..., 0]).mean() < ROUNDED


def test_an_unchanged_head_gives_the_frame_back() -> None:
    frame = demo_frames(1)[0]
    paper = open_stream(Stub(add=0.0))
    out = paper.relight(frame, seen(), LEFT, PLAIN)
    assert np.abs(out.astype(int) - frame).max() <= 1


def test_strength_intensity_and_warmth_reach_the_image() -> None:
    frame = demo_frames(1)[0]
    x, y = landmarks()[4, :2].astype(int)

    def nose(**settings: float) -> FloatArray:
        paper = open_stream(Stub())
        out = paper.relight(frame, seen(), LEFT, RelightSettings(**settings))
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
    paper = open_stream(stub)
    nobody = replace(seen(), faces=())
    assert paper.relight(frame, nobody, LEFT, PLAIN) is frame
    assert paper.relight(frame, seen(), OFF, PLAIN) is frame
    assert not stub.calls


def test_another_view_replaces_the_square_from_the_present_light() -> None:
    stub, frame = Stub(), demo_frames(1)[0]
    paper = open_stream(stub)
    out = paper.relight(frame, seen(), OFF, RelightSettings(yaw=20.0))
    paper.relight(frame, seen(), OFF, RelightSettings(yaw=0.0, pitch=5.0))
    x, y = round(Square.around(landmarks()).x), round(Square.around(landmarks()).y)
    assert (out[y, x] > frame[y, x]).all()
    assert stub.calls[0].camera[0, 3] > stub.calls[1].camera[0, 3] + 0.5


def test_a_still_head_comes_to_rest_and_a_moving_one_is_followed() -> None:
    stub, frame = Stub(), demo_frames(1)[0]
    paper = open_stream(stub)
    random = np.random.default_rng(1)

    def at(time: float, shift: float, noise: float) -> FaceState:
        marks = landmarks() + random.normal(0, noise, (468, 3)).astype(np.float32)
        face = Face(1, marks + np.array([shift, 0, 0], np.float32), 1.0, True)
        return replace(seen(), time=time, faces=(face,))

    for index in range(20):
        paper.relight(frame, at(index / 30, 0.0, 0.02), LEFT, PLAIN)
    for call in stub.calls[1:]:
        assert torch.equal(call.camera, stub.calls[0].camera)
        assert torch.equal(call.image, stub.calls[0].image)
    for index in range(20, 50):
        paper.relight(frame, at(index / 30, (index - 19) * 8.0, 0.0), LEFT, PLAIN)
    moved = Square.around(landmarks() + np.array([240.0, 0, 0], np.float32)).cut(frame, 512)
    last = stub.calls[-1].image[0].permute(1, 2, 0).numpy() * 127.5 + 127.5
    assert np.abs(last - moved).mean() < 6


def test_a_new_face_starts_anew_and_the_one_followed_is_kept() -> None:
    stub, frame = Stub(), demo_frames(1)[0]
    paper = open_stream(stub)
    small = Face(7, landmarks() * 0.5, 1.0, True)
    large = Face(8, landmarks(), 1.0, True)
    paper.relight(frame, replace(seen(), faces=(small,)), LEFT, PLAIN)
    paper.relight(frame, replace(seen(), faces=(large, small)), LEFT, PLAIN)
    paper.relight(frame, replace(seen(), faces=(small, large), time=0.1), LEFT, PLAIN)
    assert torch.equal(stub.calls[0].image, stub.calls[2].image)
    paper.relight(frame, replace(seen(), faces=(large,)), LEFT, PLAIN)
    # Half the face in the same pixels: the crop is half as wide.
    assert torch.equal(stub.calls[0].image, stub.calls[1].image)
    assert not torch.equal(stub.calls[2].image, stub.calls[3].image)


def test_the_network_itself_in_its_place() -> None:
    relighter = Relighter(PaperEngine(PaperModel(random_network(64)), FacePose()))
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


def test_live_the_image_passes_and_the_reason_is_told(no_weights: Path, tmp_path: Path) -> None:
    record, settings = str(tmp_path / "out.mp4"), {"XDG_CONFIG_HOME": str(tmp_path)}
    args = ["--source", "demo", "--sink", "none", "--engine", "paper", "--record", record]
    with live(*args, **settings) as program:
        wait_for(lambda: program.ask("/api/state")["state"] == "degraded")
        wait_for(lambda: program.ask("/api/state")["stats"]["frames_out"] > 10)
        status, _, said = program.stop()
    assert status == 1
    assert "passes through unchanged" in said and "VCAM_PAPER_CHECKPOINT" in said
    assert "Traceback" not in said


async def test_the_panel_offers_the_engine_and_its_views() -> None:
    async with running() as served, served.panel() as panel:
        hello = await panel.receive_json()
        assert "paper" in hello["engines"]
        status, answer = await served.post("/api/settings", {"engine": "paper", "yaw": 20.0})
        assert (status, answer["settings"]["engine"]) == (200, "paper"), answer
        assert "yaw" not in (await served.get("/api/state"))["unsupported_controls"]


@pytest.mark.slow
def test_image_and_bench_with_a_file_of_weights(
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
        assert main(["bench", "--engine", "paper", "--frames", "2", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        print(json.dumps(report["results"]["paper"]["stages_ms"], indent=1))
        stages = set(report["results"]["paper"]["stages_ms"])
        assert {"crop and pose", "deeplab", "temporal", "render", "paste"} <= stages
    finally:
        weights.unlink()  # half a gigabyte
