"""The network's other forms say what the network says: the kernels and the ONNX file."""

from dataclasses import astuple
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vcam_relight.pipeline.engines.triplane.network.model import (
    Maps,
    TemporalState,
    TriplaneNetwork,
    Volume,
)
from vcam_relight.pipeline.engines.triplane.runtime import runtime
from vcam_relight.pipeline.engines.triplane.runtime.runtime import Runtime
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.native.network import network_kernels

NETWORK_KERNELS = 5e-5
"""Absolute and relative, of the tri-plane network's outputs in float32 between torch, its kernels
and ONNX Runtime: sums are taken in other orders; 2e-6 was measured."""

Result = tuple[Maps, Volume, Tensor, TemporalState, Tensor]


@pytest.fixture(scope="module")
def network() -> TriplaneNetwork:
    """With random weights that leave some rays half open."""
    torch.manual_seed(7)
    network = TriplaneNetwork().eval().requires_grad_(False)
    network.renderer.density.bias.fill_(-5.0)
    network.unprojection.place.normal_(std=0.5)
    return network


def _frame(seed: int) -> tuple[Tensor, HeadPose, Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.eye(3) + 0.2 * torch.randn(3, 3, generator=numbers))
    turn = turn * torch.sign(turn.diagonal())
    light = torch.randn(1, 9, generator=numbers) * 0.3
    light[:, 0] = 1.0
    image = torch.rand(1, 3, 256, 256, generator=numbers) * 2 - 1
    pose = HeadPose(turn[None], torch.tensor([0.55]), torch.tensor([[0.08, -0.03]]))
    return image, pose, light


def _tensors(result: Result) -> list[Tensor]:
    maps, volume, state, planes = result
    return [*astuple(maps), *astuple(volume), state.features, planes]


def _assert_same(got: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, atol=NETWORK_KERNELS, rtol=NETWORK_KERNELS)


def _two_frames(network: Runtime) -> tuple[Result, Result]:
    first = network.run(*_frame(1), None)
    return first, network.run(*_frame(2), first[2])


_CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA")
)


@pytest.mark.parametrize("device", ["cpu:0", _CUDA])
def test_another_device_says_what_the_network_says(
    network: TriplaneNetwork, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cpu:0` goes the way of another device on this one."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    expected = network(*_frame(1), None)
    following = network(*_frame(2), expected[2])
    got, got_following = _two_frames(Runtime(network, device))
    for one, other in ((got, expected), (got_following, following)):
        _assert_same([tensor.cpu() for tensor in _tensors(one)], _tensors(other))
    maps, volume, _, planes = got
    assert {tensor.device.type for tensor in (*astuple(maps), *astuple(volume), planes)} == {"cpu"}


def test_a_device_that_fails_says_so_before_the_first_frame(
    network: TriplaneNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            Runtime(network, "cuda")

    def fails(self: TriplaneNetwork, *args: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(TriplaneNetwork, "forward", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        Runtime(network, "cpu:0")


def _compiled() -> None:
    if network_kernels() is None:
        pytest.skip("the kernels need a C++ compiler")


def test_kernels_agree_with_the_network_and_leave_earlier_results_alone(
    network: TriplaneNetwork,
) -> None:
    _compiled()
    with torch.inference_mode():
        first = network(*_frame(1), None)
        second = network(*_frame(2), first[2])
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
    with torch.inference_mode():
        expected = network(*_frame(2), network(*_frame(1), None)[2])
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
        inputs = (image, *astuple(pose), light, state.features, torch.tensor([known]))
        named = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
        got = [torch.from_numpy(array) for array in session.run(None, named)]
        with torch.inference_mode():
            expected = network(image, pose, light, state if known else None)
        _assert_same(got, _tensors(expected))
