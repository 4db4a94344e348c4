"""DPR's hourglass as the paper engine's estimator of the source lighting."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from support.demo import demo_frames
from support.paper_parts import Stub, seen
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.paper import CheckpointError, PaperModel
from vcam_relight.pipeline.engines.paper.dpr import (
    VARIABLE,
    WEIGHTS,
    DprLight,
    DprNetwork,
    load_network,
)
from vcam_relight.pipeline.engines.paper.engine import PaperEngine
from vcam_relight.pipeline.engines.paper.light import EXPOSURE
from vcam_relight.pipeline.evaluate.cases import exposed
from vcam_relight.pipeline.evaluate.ground_truth import load_subjects
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.lighting import OFF
from vcam_relight.pipeline.lighting.exposure import exposure

LIGHT_IN_PICTURE_DEG = 30.0
"""Median, between where in the image's plane DPR sees a strong light and where it is: 16 measured
over all rendered people. One flipped or swapped axis makes it 90 or more."""

FOLDER = os.environ.get(VARIABLE)
STRONG = {"key left", "key right", "hard lamp", "bridge", "lab"}
LIGHT = "HG3.middle.middle.middle.middle"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file like DPR's, with random weights that read some light off every image."""
    torch.manual_seed(0)
    network = DprNetwork()
    state = network.state_dict()
    state[f"{LIGHT}.predict_FC1.weight"].abs_()
    state[f"{LIGHT}.predict_FC2.weight"][0] = 0.5  # and more of it from everywhere than from a side
    state["HG0.upper.conv1.weight"] = torch.zeros(3)  # of the smaller networks in the file
    torch.save(state, tmp_path / WEIGHTS)
    return tmp_path / WEIGHTS


def test_what_it_reads_is_gray_and_of_exposure_one(weights: Path) -> None:
    light, frame = DprLight(weights), demo_frames(1)[0]
    sh = light(FrameContext(frame, seen()))
    assert sh is not None and sh.shape == (9, 3) and sh.dtype == np.float32
    assert np.ptp(sh, axis=1).max() == 0 and np.abs(sh[1:]).max() > 0
    assert exposure(sh) == pytest.approx(np.ones(3), abs=1e-5)
    again = light(FrameContext(frame, seen()))
    assert again is not None and np.array_equal(sh, again)
    nobody = FaceTracker(StageTimer()).still(np.zeros_like(frame))
    assert light(FrameContext(frame, nobody)) is None


def test_no_light_on_the_face_is_no_reading(weights: Path) -> None:
    state = torch.load(weights, weights_only=True)
    state[f"{LIGHT}.predict_FC2.weight"].zero_()
    torch.save(state, weights)
    assert DprLight(weights)(FrameContext(demo_frames(1)[0], seen())) is None


def test_the_light_that_is_read_is_that_of_the_way_in(weights: Path) -> None:
    """The part that reads the light sees what the part that swaps it is given."""
    network = load_network(weights)
    met: list[Tensor] = []

    def keep(middle: Any, inputs: tuple[Tensor, Tensor], result: Tensor) -> None:
        met.append(middle.source_light(inputs[0]))

    network.get_submodule(LIGHT).register_forward_hook(keep)
    lightness = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    network(lightness, torch.zeros(1, 9, 1, 1))
    assert torch.equal(met[0].flatten(1), network.source_light(lightness))


def test_the_engine_starts_from_it_when_the_weights_are_there(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, frame = Stub(), demo_frames(1)[0]
    monkeypatch.setattr(PaperModel, "load", lambda path, device, precision: stub)
    monkeypatch.setenv(VARIABLE, str(weights.parent))
    engine = PaperEngine.load()
    engine.open_stream(StageTimer()).relight(frame, seen(), OFF, RelightSettings(yaw=10.0))
    read = DprLight(weights)(FrameContext(frame, seen()))
    assert read is not None
    assert stub.calls[0].sh[0].numpy() == pytest.approx(EXPOSURE * read[:, 0], abs=1e-5)

    monkeypatch.setenv(VARIABLE, str(weights.parent / "nowhere"))
    with pytest.raises(FileNotFoundError, match=rf"nowhere.*{WEIGHTS}.*{VARIABLE}"):
        PaperEngine.load()


class _Prints:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code of the file ran",)


def test_other_files_are_refused_in_one_line(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.load(weights, weights_only=True)
    torch.save({"a": _Prints()}, weights)
    with pytest.raises(CheckpointError, match="more than weights"):
        load_network(weights)
    assert not capsys.readouterr().out
    torch.save(list(state), weights)
    with pytest.raises(CheckpointError, match="not a state dict"):
        load_network(weights)
    torch.save(state | {"pre_conv.weight": torch.zeros(16, 3, 5, 5)}, weights)
    with pytest.raises(CheckpointError, match=r"pre_conv\.weight is \(16, 3, 5, 5\) instead of"):
        load_network(weights)
    del state["output.bias"]
    torch.save(state, weights)
    with pytest.raises(CheckpointError, match=r"output\.bias is missing\. Use trained_model_03"):
        load_network(weights)
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        load_network(weights)


@pytest.mark.skipif(not FOLDER, reason=f"no weights of DPR: {VARIABLE} is not set")
def test_with_the_real_weights_a_known_light_is_found() -> None:
    light, tracker = DprLight(Path(str(FOLDER)) / WEIGHTS), FaceTracker(StageTimer())
    errors = []
    for subject in load_subjects()[::9]:
        faces = tracker.still(
            exposed(subject, "soft front" if "soft front" in subject.lights else "key left")
        )
        for name in set(subject.lights) & {"key left", "key right", "hard lamp", "bridge", "lab"}:
            read = light(faces, exposed(subject, name))
            assert read is not None
            errors.append(angle(across(read), across(subject.sh(name))))
    assert len(errors) > 8 and np.median(errors) < LIGHT_IN_PICTURE_DEG
    assert max(errors) < 90


def across(sh: FloatArray) -> FloatArray:
    """`(2,)` right and up: where in the image's plane the light comes from."""
    return np.asarray((sh / sh[0]).mean(axis=1)[[3, 2]], np.float32)


def angle(a: FloatArray, b: FloatArray) -> float:
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
