"""The network's other forms say what the network says: the kernels and the ONNX file."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.engines.triplane.network.model import (
    Maps,
    TemporalState,
    TriplaneNetwork,
    Volume,
)
from vcam_relight.pipeline.engines.triplane.runtime import runtime
from vcam_relight.pipeline.engines.triplane.runtime.runtime import (
    Memory,
    Planes,
    Runtime,
    RuntimeMemory,
)
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.native.network import network_kernels

NETWORK_KERNELS = 5e-5
"""Absolute and relative, of the tri-plane network's outputs in float32 between torch, its kernels
and ONNX Runtime: sums are taken in other orders; 2e-6 was measured."""

Result = tuple[Maps, Volume, TemporalState, Tensor]


@pytest.fixture(scope="module")
def network() -> TriplaneNetwork:
    """With random weights that leave some rays half open."""
    torch.manual_seed(7)
    network = TriplaneNetwork().eval().requires_grad_(False)
    network.renderer.density.bias.fill_(-5.0)
    network.unprojection.place.normal_(std=0.5)
    return network


def _frame(seed: int) -> tuple[BgrImage, HeadPose, Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.eye(3) + 0.2 * torch.randn(3, 3, generator=numbers))
    turn = turn * torch.sign(turn.diagonal())
    light = torch.randn(1, 9, generator=numbers) * 0.3
    light[:, 0] = 1.0
    image = torch.randint(0, 256, (256, 256, 3), generator=numbers, dtype=torch.uint8).numpy()
    pose = HeadPose(turn[None], torch.tensor([0.55]), torch.tensor([[0.08, -0.03]]))
    return image, pose, light


def _said(network: TriplaneNetwork, seed: int, state: TemporalState | None) -> Result:
    """What the network itself says."""
    image, pose, light = _frame(seed)
    with torch.inference_mode():
        return network(_rgb(image), pose, light, state)


def _rgb(image: BgrImage) -> Tensor:
    rgb = torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))
    return rgb.float()[None] / 127.5 - 1


def _tensors(result: Result) -> list[Tensor]:
    maps, volume, state, planes = result
    return [*astuple(maps), *astuple(volume), state.features, planes]


def _assert_same(got: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, atol=NETWORK_KERNELS, rtol=NETWORK_KERNELS)


def _two_frames(network: Runtime) -> tuple[Result, Result]:
    """What a runtime says, without a motion: nothing is followed slowly."""
    first = network.run(*_frame(1), None, None)
    return _plain(first), _plain(network.run(*_frame(2), first[2], None))


def _plain(result: tuple[Maps, Volume, RuntimeMemory, Planes]) -> Result:
    maps, volume, memory, planes = result
    assert isinstance(memory, Memory) and isinstance(planes, Tensor)
    return maps, volume, memory.state, planes


def _compiled() -> None:
    if network_kernels() is None:
        pytest.skip("the kernels need a C++ compiler")


def test_kernels_agree_with_the_network_and_leave_earlier_results_alone(
    network: TriplaneNetwork,
) -> None:
    _compiled()
    first = _said(network, 1, None)
    second = _said(network, 2, first[2])
    assert first[1].opacity.min() < 0.9 * first[1].opacity.max()  # there is something to get wrong
    got_first, got_second = _two_frames(Runtime(network, threads=2))
    _assert_same(_tensors(got_first), _tensors(first))
    _assert_same(_tensors(got_second), _tensors(second))


def test_kernels_say_the_same_on_any_number_of_threads(network: TriplaneNetwork) -> None:
    _compiled()
    results = [_two_frames(Runtime(network, threads=threads))[1] for threads in (1, 3)]
    for one, other in zip(*map(_tensors, results), strict=True):
        assert torch.equal(one, other)


def test_without_kernels_the_network_runs(
    network: TriplaneNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "network_kernels", lambda: None)
    _, got = _two_frames(Runtime(network))
    expected = _said(network, 2, _said(network, 1, None)[2])
    _assert_same(_tensors(got), _tensors(expected))


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_onnx_file_agrees_with_the_network(network: TriplaneNetwork, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from vcam_relight.pipeline.engines.triplane.runtime.onnx_export import INPUTS, export_onnx

    export_onnx(network, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    state = TemporalState(torch.randn(3, 32, 32, 32, generator=torch.Generator().manual_seed(3)))
    image, pose, light = _frame(1)
    for known in (0.0, 1.0):
        inputs = (_rgb(image), *astuple(pose), light, state.features, torch.tensor([known]))
        named = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
        got = [torch.from_numpy(array) for array in session.run(None, named)]
        with torch.inference_mode():
            expected = network(_rgb(image), pose, light, state if known else None)
        _assert_same(got, _tensors(expected))
