"""The whole engine on a card that the CPU emulates: its pictures, and what happens as it fails."""

import cv2
import numpy as np
import pytest

from support.cuda_cases import assert_engine_agrees, assert_tracker_agrees
from support.demo import demo_frames
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.cuda.driver import CudaError, Driver, NoCardError
from vcam_relight.pipeline.cuda.emulation import build
from vcam_relight.pipeline.cuda.image_models import models_on
from vcam_relight.pipeline.engines.pool import EnginePool
from vcam_relight.pipeline.engines.triplane.network.model import Sizes, TriplaneNetwork
from vcam_relight.pipeline.engines.triplane.runtime.cuda_network import CudaNetwork
from vcam_relight.pipeline.face.models import load_model
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter
from vcam_relight.vcam import device
from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.vcam.device import engine_on


def test_ten_frames_are_those_of_the_cpu() -> None:
    assert_engine_agrees("emulated")


def _lose(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no card does anything."""
    call = Driver.call

    def lost(self: Driver, name: str, *arguments: object) -> None:
        if name == "cuGraphLaunch":
            raise CudaError("cuGraphLaunch: the launch timed out (702)")
        call(self, name, *arguments)

    monkeypatch.setattr(Driver, "call", lost)


def test_faces_and_people_are_where_the_cpu_finds_them(caplog: pytest.LogCaptureFixture) -> None:
    assert_tracker_agrees(build.emulated_card(), 2)
    assert not caplog.messages, "the CPU stood in"


def test_a_card_that_is_lost_leaves_the_face_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    card = build.card_by(build.emulation())
    name = "face_landmark.tflite"
    there, here = models_on(card)(name), load_model(name)
    image = cv2.resize(demo_frames(1)[0], (here.width, here.height))
    _lose(monkeypatch)
    for _ in range(2):
        for got, expected in zip(there.look(image), here.look(image), strict=True):
            assert np.array_equal(got, expected)
    assert caplog.messages == [
        f"{name} runs on the CPU, as CUDA fails (cuGraphLaunch: the launch timed out (702))"
    ]


def test_a_card_that_sees_another_face_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vcam_relight.pipeline.cuda.image_models._AGREES", 0.0)
    models_on(build.card_by(build.emulation()))("face_landmark.tflite")
    assert "runs on the CPU, as CUDA fails (its results differ" in caplog.text


def test_a_card_that_is_lost_leaves_the_cpu_to_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    card = build.card_by(build.emulation())
    monkeypatch.setattr(build, "emulated_card", lambda: card)
    lighting, settings = load_presets()[0]["key-left"].lighting(), RelightSettings()
    frame = demo_frames(1)[0]
    with EnginePool() as pool:
        engine = engine_on("triplane", "emulated", pool.get)
        assert engine.runs_on == "CUDA, emulated"
        with Relighter(engine, failed=pool.discard) as relighter:
            relighter.process(frame, 0.0, lighting, settings)
            _lose(monkeypatch)
            with pytest.raises(CudaError, match="timed out"):
                for index in range(1, 9):
                    relighter.process(frame, float(index), lighting, settings)
        following = engine_on("triplane", "emulated", pool.get)
        assert following.runs_on.startswith("CPU, as CUDA fails (emulated has failed: cuGraph")
        assert caplog.messages[-1] == f"the engine triplane runs on the {following.runs_on}"
        with Relighter(following, failed=pool.discard) as relighter:
            assert (relighter.process(frame, 0.0, lighting, settings) != frame).any()


def test_a_card_that_is_full_is_well() -> None:
    card = build.card_by(build.emulation())
    with pytest.raises(CudaError, match="out of memory"):
        card.empty((1 << 46,), np.uint8)
    assert card.problem == "" and card.empty((16,), np.uint8).nbytes == 16


def test_a_network_of_other_sizes_is_left_to_the_cpu() -> None:
    with pytest.raises(CudaError, match="sizes of the network that is shipped"):
        CudaNetwork(TriplaneNetwork(Sizes(quarter=32)), build.emulated_card())


def test_a_card_that_says_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcam_relight.pipeline.engines.triplane.runtime.runtime._AGREES", 0.0)
    with pytest.raises(VcamError, match="its results differ from the CPU's"):
        engine_on("triplane", "emulated")


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (NoCardError("NVIDIA's driver is not installed"), "CPU"),
        (CudaError("there is no NVRTC"), "CPU, as CUDA fails (there is no NVRTC)"),
    ],
)
def test_without_a_card_the_cpu_says_why_only_where_something_is_amiss(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: CudaError,
    words: str,
) -> None:
    def refuse(name: str) -> None:
        raise failure

    monkeypatch.setattr(device, "card_of", refuse)
    assert engine_on("triplane", "auto").runs_on == words
    assert bool(caplog.messages) == (words != "CPU")
    with pytest.raises(VcamError, match=r"use --device cpu"):
        engine_on("triplane", "cuda")
