"""What is said in numpy and in torch is the same, and what it says is true."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from vcam_relight.pipeline.core import color, color_torch
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.lighting import exposure, sh, sh_torch, shading
from vcam_relight.pipeline.lighting.lights import Light, lights_to_sh
from vcam_relight.pipeline.lighting.lobes import DistantLight

SAME = 2e-5
"""Absolute and relative, between float32 sums in numpy's and torch's order."""


@pytest.fixture(scope="module")
def normals() -> FloatArray:
    """`(8, 16, 3)`, all around."""
    vectors = np.random.default_rng(3).normal(size=(8, 16, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors.astype(np.float32)


@pytest.fixture(scope="module", params=["soft", "hard and coloured", "from behind"])
def light(request: pytest.FixtureRequest) -> FloatArray:
    """`(9, 3)`."""
    lights = {
        "soft": Light(20, 30, (1.0, 1.0, 1.0), 0.8),
        "hard and coloured": Light(-70, 10, (1.5, 0.4, 0.1), 0.0),
        "from behind": Light(170, 40, (1.0, 0.9, 0.8), 0.2),
    }
    return lights_to_sh([lights[request.param]], (0.1, 0.1, 0.2))


def _channels_first(values: FloatArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 0)))[None]


def _channels_last(values: torch.Tensor) -> FloatArray:
    return np.asarray(np.moveaxis(values[0].numpy(), 0, -1), np.float32)


def _same(one: FloatArray, other: FloatArray) -> None:
    np.testing.assert_allclose(one, other, atol=SAME, rtol=SAME)


def test_the_basis(normals: FloatArray) -> None:
    _same(_channels_last(sh_torch.basis(_channels_first(normals))), sh.basis(normals))


def test_irradiance_and_exposure(light: FloatArray, normals: FloatArray) -> None:
    tensor = torch.from_numpy(light)[None]
    _same(
        _channels_last(sh_torch.irradiance(tensor, _channels_first(normals))),
        sh.irradiance(light, normals),
    )
    _same(sh_torch.exposure(tensor)[0].numpy(), exposure.exposure(light))
    _same(sh_torch.shading_floor(tensor)[0].numpy(), shading.shading_floor(light))


def test_log_ratio(light: FloatArray, normals: FloatArray) -> None:
    seen = _channels_first(normals)
    logs = [
        sh_torch.log_shading(torch.from_numpy(one)[None], seen) for one in (exposure.AMBIENT, light)
    ]
    ratio = shading.log_ratio(exposure.AMBIENT, DistantLight(light), normals)
    _same(_channels_last(logs[1] - logs[0]), ratio)
    assert np.abs(shading.log_ratio(light, DistantLight(light), normals)).max() == 0


def test_brightness_alone_changes_no_colour(light: FloatArray, normals: FloatArray) -> None:
    brighter = shading.log_ratio(light, DistantLight(np.float32(3) * light), normals)
    lit = exposure.exposure(light).min() > shading.SHADING.least_exposure
    if lit:
        assert brighter == pytest.approx(np.log(3), abs=SAME)


@pytest.mark.parametrize(
    ("numpy", "torch_form"),
    [
        (color.decode_srgb, color_torch.decode_srgb),
        (color.encode_srgb, color_torch.encode_srgb),
    ],
)
def test_the_curves_of_srgb(
    numpy: Callable[[FloatArray], FloatArray],
    torch_form: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    values = np.linspace(0, 1, 2001, dtype=np.float32)
    _same(torch_form(torch.from_numpy(values)).numpy(), numpy(values))


def test_gradients_of_srgb_are_finite_at_black() -> None:
    black = torch.zeros(1, requires_grad=True)
    color_torch.encode_srgb(black).backward()
    assert black.grad is not None and black.grad.item() == pytest.approx(color.SRGB_LINEAR_SLOPE)


def test_a_frame_is_decoded_to_linear_rgb() -> None:
    frame = np.zeros((2, 2, 3), np.uint8)
    frame[:] = (0, 128, 255)
    assert np.allclose(color.linear_rgb(frame), (1.0, 0.2158605, 0.0), atol=1e-6)


def test_smoothstep_runs_either_way() -> None:
    values = np.linspace(-1, 2, 61, dtype=np.float32)
    rising = smoothstep(0, 1, values)
    assert rising.dtype == np.float32 and rising[0] == 0 and rising[-1] == 1
    assert np.all(np.diff(rising) >= 0)
    assert np.allclose(smoothstep(1, 0, values), 1 - rising, atol=1e-6)
    assert float(smoothstep(2, 4, 3)) == 0.5
