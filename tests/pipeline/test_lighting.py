"""Lighting: conventions are tested on a rendered sphere, not with algebra alone."""

import math
from pathlib import Path

import numpy as np
import pytest

from support import tolerances
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.lights import Light, direction, lights_to_sh, temperature_rgb
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.lighting.sh import basis, dominant_direction, irradiance, load_sh

MONTE_CARLO = 0.03
"""Largest deviation of 81 inner products estimated from 200,000 random directions: five standard
deviations."""

SH_ORDER_2 = 0.06
"""Mean error of order-2 SH for a hard light on the visible half of a sphere (Ramamoorthi and
Hanrahan 2001 give 1% of energy over all directions; the ringing is at the terminator)."""


def sphere(size: int = 96) -> tuple[FloatArray, FloatArray]:
    """Normals `(n, 3)` of a sphere's visible pixels and their `(n, 2)` places: right, up."""
    line = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(line, -line)
    inside = x * x + y * y < 0.98
    x, y = x[inside], y[inside]
    z = np.sqrt(1 - x * x - y * y)
    return np.stack([x, y, z], axis=1).astype(np.float32), np.stack([x, y], axis=1)


def brightest_place(shading: FloatArray, places: FloatArray) -> FloatArray:
    weights = np.maximum(shading - np.quantile(shading, 0.95), 0)
    return np.asarray((weights[:, None] * places).sum(axis=0) / weights.sum())


def test_the_basis_is_orthonormal_over_the_sphere() -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(200_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    b = basis(directions.astype(np.float32))
    gram = b.T @ b * (4 * math.pi / len(b))
    assert np.abs(gram - np.eye(9)).max() < MONTE_CARLO


@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (40, 0), (-40, 10), (0, 45), (20, -35)])
def test_a_light_brightens_the_side_of_a_sphere_that_faces_it(
    azimuth: float, elevation: float
) -> None:
    normals, places = sphere()
    sh = lights_to_sh([Light(azimuth, elevation, (1, 1, 1), 0.0)], (0, 0, 0))
    shading = irradiance(sh, normals)[:, 1]
    towards = direction(azimuth, elevation)
    assert np.abs(brightest_place(shading, places) - towards[:2]).max() < tolerances.SPHERE_PLACE
    assert float(dominant_direction(sh) @ towards) > math.cos(math.radians(1))
    # the truth: Lambert's cosine
    truth = np.maximum(normals @ towards, 0)
    assert np.abs(shading - truth).mean() < SH_ORDER_2


def test_order_of_coefficients_is_that_of_dpr() -> None:
    """DPR's axes: X right, Y into the image, Z up; order 1, Y, Z, X."""
    normals, places = sphere()
    for index, place in ((1, (0, 0)), (2, (0, 1)), (3, (1, 0))):
        sh = np.zeros((9, 3), np.float32)
        sh[0], sh[index] = 1, -1 if index == 1 else 1  # Y points away from the camera
        shading = irradiance(sh, normals)[:, 0]
        assert np.abs(brightest_place(shading, places) - place).max() < 0.1


def test_softer_light_falls_off_more_slowly_and_is_as_much_in_all() -> None:
    normals, _ = sphere()
    hard, soft = (
        irradiance(lights_to_sh([Light(0, 0, (1, 1, 1), s)], (0, 0, 0)), normals)[:, 0]
        for s in (0.0, 1.0)
    )
    edge = normals[:, 2] < 0.3
    assert soft[edge].mean() > hard[edge].mean()
    assert soft.max() < hard.max()
    rng = np.random.default_rng(1)
    around = rng.normal(size=(100_000, 3))
    around = (around / np.linalg.norm(around, axis=1, keepdims=True)).astype(np.float32)
    total = [
        irradiance(lights_to_sh([Light(0, 0, (1, 1, 1), s)], (0, 0, 0)), around).mean()
        for s in (0.0, 1.0)
    ]
    assert abs(total[0] / total[1] - 1) < MONTE_CARLO


def test_ambient_light_is_the_irradiance_it_says() -> None:
    normals, _ = sphere()
    shading = irradiance(lights_to_sh([], (0.5, 0.25, 1.0)), normals)
    assert np.abs(shading - [0.5, 0.25, 1.0]).max() < 1e-5


def test_colour_temperature_runs_from_orange_to_blue() -> None:
    assert np.abs(temperature_rgb(6500) - 1).max() < 1e-5
    candle, sky = temperature_rgb(2000), temperature_rgb(10_000)
    assert candle[0] > candle[1] > candle[2] and sky[2] > sky[1] > sky[0]
    with pytest.raises(ValueError, match="between 1667 and 25000"):
        temperature_rgb(800)


def test_sh_files_of_both_shapes_and_kinds(tmp_path: Path) -> None:
    gray = np.arange(1, 10, dtype=np.float32)
    np.savetxt(tmp_path / "gray.txt", gray)
    assert np.array_equal(load_sh(tmp_path / "gray.txt"), np.repeat(gray[:, None], 3, axis=1))
    colour = np.arange(27, dtype=np.float32).reshape(9, 3)
    np.save(tmp_path / "colour.npy", colour)
    assert np.array_equal(load_sh(tmp_path / "colour.npy"), colour)
    np.save(tmp_path / "planar.npy", colour.T)
    assert np.array_equal(load_sh(tmp_path / "planar.npy"), colour)


@pytest.mark.parametrize("values", [[1.0] * 8, [1.0] * 28, [float("nan")] * 9])
def test_wrong_sh_files_are_refused(tmp_path: Path, values: list[float]) -> None:
    np.savetxt(tmp_path / "bad.txt", values)
    with pytest.raises(ValueError, match=r"expected 9|finite"):
        load_sh(tmp_path / "bad.txt")


def test_sh_files_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        load_sh(tmp_path / "evil.npy")


@pytest.mark.parametrize("name", ["empty.npy", "empty.txt", "picture.npy", "picture.txt"])
def test_files_that_are_no_sh_are_refused_in_words(tmp_path: Path, name: str) -> None:
    content = b"" if name.startswith("empty") else b"\xff\xd8\xff\xe0 JFIF"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"\w"):
        load_sh(tmp_path / name)


def test_a_lighting_with_a_dark_channel_is_refused() -> None:
    sh = np.zeros((9, 3), np.float32)
    sh[0] = 1, -1, -1
    with pytest.raises(ValueError, match="above 0"):
        Lighting.from_sh(sh)


def test_a_lighting_without_light_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Lighting.from_sh(np.zeros((9, 3), np.float32))


def test_the_programs_presets_are_those_promised() -> None:
    presets, problems = load_presets()
    assert not problems
    wanted = {
        "off", "auto", "soft-front", "key-left", "key-right", "rembrandt", "butterfly", "rim",
        "window", "golden-hour", "cool-office", "neon-duo", "candle",
    }  # fmt: skip
    assert wanted <= set(presets)
    assert presets["off"].lighting().mode == "off"
    assert presets["auto"].lighting().mode == "auto"
    left, right = (dominant_direction(presets[n].lighting().sh) for n in ("key-left", "key-right"))
    assert left[0] < -0.3 and right[0] > 0.3


def test_dragging_moves_the_key_light_of_every_preset_that_has_one() -> None:
    presets, _ = load_presets()
    assert presets["off"].lighting((70.0, 0.0)).mode == "off"
    assert presets["auto"].lighting((70.0, 0.0)).mode == "auto"
    for preset in presets.values():
        if not preset.lights:
            continue
        towards = dominant_direction(preset.lighting((70.0, 0.0)).sh)
        away = dominant_direction(preset.lighting((-70.0, 0.0)).sh)
        assert towards[0] > away[0] + 0.2, preset.name


def test_user_presets_join_and_replace_and_bad_ones_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[desk-lamp]\ntitle = "Desk lamp"\n[[desk-lamp.light]]\nazimuth = 30\n'
        '[rim]\ntitle = "My rim"\nambient = { intensity = 1 }\n'
        "[off]\nambient = { intensity = 1 }\n[far]\n[[far.light]]\nazimuth = inf\n"
        "[pink]\nambient = { intensity = 1, colour = '#ff8800zz' }\n"
        "[dark]\ntitle = 'No light'\n[tent]\nambient = { intensity = 1, shade = 2 }\n"
    )
    (tmp_path / "torn.toml").write_text("[oops")
    presets, problems = load_presets(tmp_path)
    assert presets["desk-lamp"].title == "Desk lamp" and presets["rim"].title == "My rim"
    assert presets["off"].mode == "off" and "far" not in presets and "pink" not in presets
    assert "dark" not in presets and "tent" not in presets and "key-left" in presets
    text = "\n".join(problems)
    assert "torn.toml" in text and "preset dark: it has no light" in text and "'shade'" in text
