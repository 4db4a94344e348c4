"""The paper's network against outputs of the released code.

The folder of the cases (parameters.json and case_*.npz) is named by VCAM_PAPER_CASES; without it
these tests are skipped, or fail when VCAM_REQUIRE_PAPER is set. All weights of a case are random,
filled by name from seeds.
"""

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vcam_relight.pipeline.engines.paper import PaperModel, look_at
from vcam_relight.pipeline.engines.paper.model import light_of

PAPER = 1e-3
"""Relative error (of norms) of the paper's network against the released code's outputs in float32:
the order of sums differs, and some outputs are kept as float16."""

pytestmark = pytest.mark.slow

FOLDER = os.environ.get("VCAM_PAPER_CASES")
CASES = sorted(Path(FOLDER).glob("case_*.npz")) if FOLDER else []


@dataclass
class Case:
    number: int
    stored: dict[str, NDArray[np.generic]]
    model: PaperModel

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.stored[name].astype(np.float32))


@pytest.fixture(scope="module", params=CASES or [None], ids=lambda path: path and path.stem)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    path: Path | None = request.param
    if path is None:
        reason = f"no case_*.npz: VCAM_PAPER_CASES is {FOLDER or 'not set'}"
        if os.environ.get("VCAM_REQUIRE_PAPER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    number = int(path.stem.split("_")[1])
    checkpoint = tmp_path_factory.mktemp("paper") / "model.pth"
    torch.save(
        filled(number, json.loads((path.parent / "parameters.json").read_text())), checkpoint
    )
    yield Case(number, dict(np.load(path)), PaperModel.load(checkpoint))
    checkpoint.unlink()  # half a gigabyte


def filled(number: int, parameters: list[dict[str, object]]) -> dict[str, Tensor]:
    """The state dict of a case."""
    taps = torch.tensor([1.0, 3, 3, 1])
    state = {}
    for entry in parameters:
        name = str(entry["name"])
        if name.endswith("resample_filter"):
            state[name] = torch.outer(taps, taps) / 64
            continue
        random = np.random.default_rng(zlib.crc32(f"{number}:{name}".encode()))
        value = random.standard_normal(entry["shape"])
        value = entry["mean"] + entry["gain"] * (entry["std"] or 0.02) * value
        state[name] = torch.from_numpy(np.asarray(value, np.float32))
    return state


def pooled(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x.contiguous(), 16)


def check(errors: dict[str, float]) -> None:
    print({name: f"{error:.1e}" for name, error in errors.items()})
    assert {name: error for name, error in errors.items() if not error < PAPER} == {}


def relative(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    return float((found - wanted).norm() / wanted.norm())


def test_every_stage_and_output(case: Case) -> None:
    encoders = case.model._network.encoders
    stages = {
        "f_deeplab": encoders.deeplabv3,
        "f_low": encoders.decoder_f_low,
        "f_high": encoders.encoder_f_high,
        "planes_albedo": encoders.decoder_f_hybrid,
        "mapping_lit": encoders.eg3d.G.backbone.mapping_lit,
        "planes_shading": encoders.shading_encoder,
        "w_delta": encoders.planes2ws,
        "sr_block0": encoders.eg3d.G.superresolution.block0,
        "sr_block1": encoders.eg3d.G.superresolution.block1,
    }
    found: dict[str, Tensor] = {}

    def keep(name: str, result: Tensor | tuple[Tensor, Tensor]) -> None:
        value = result[0] if isinstance(result, tuple) else result
        found[f"stage_{name}"] = pooled(value) if value.dim() == 4 else value.clone()

    hooks = [
        module.register_forward_hook(lambda _, __, result, name=name: keep(name, result))
        for name, module in stages.items()
    ]
    person = case.model.encode(case.tensor("image"))
    out = case.model.render(person, case.model.shade(person, case.tensor("sh")), case.tensor("cam"))
    for hook in hooks:
        hook.remove()
    found["out_superres_ws"] = person.superres_ws
    for name in ("image", "image_raw", "depth", "shading", "feat"):
        found[f"out_{name}"] = getattr(out, name)
    assert set(found) == {name for name in case.stored if name.startswith(("stage_", "out_"))}
    check({name: relative(value, case.tensor(name)) for name, value in found.items()})


def test_the_temporal_network_and_the_released_buffer(case: Case) -> None:
    random = np.random.default_rng(case.number)
    random.uniform(size=(1, 3, 32, 32))  # what the case drew before
    random.uniform(size=2)
    random.normal(size=(1, 9))
    maps = [
        torch.from_numpy(random.standard_normal((1, 96, 256, 256)).astype(np.float32))
        for _ in range(10)
    ]
    state, light = case.model.new_history(frozen=True), light_of(case.tensor("sh"))
    for albedo, shading in zip(maps[:5], maps[5:], strict=True):
        state.push(albedo, shading, state.next(light))
    state.push(maps[0], maps[1], state.next(light))  # which it never sees
    with torch.inference_mode():
        corrections = case.model._network.attention(state.albedo, state.shading, state.order)
    albedo, shading = (pooled(value.t().view(1, 96, 256, 256)) for value in corrections)
    check(
        {
            "albedo": relative(albedo, case.tensor("temporal_albedo")),
            "shading": relative(shading, case.tensor("temporal_shading")),
        }
    )


def test_cameras_are_those_of_the_cases(case: Case) -> None:
    camera = case.tensor("cam")
    x, y, z = camera[0, [3, 7, 11]].tolist()
    yaw = np.degrees(np.arctan2(x, z))
    pitch = np.degrees(np.arcsin(y / np.sqrt(x * x + y * y + z * z)))
    assert relative(look_at(yaw, pitch), camera) < PAPER
