"""Lights with a direction and a size: what they give, what they are found from, what they cast."""

import numpy as np
import pytest

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.engines.triplane.highlights import lobe_highlights
from vcam_relight.pipeline.engines.triplane.visibility import lobe_visibility
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.light_map import map_directions, small_map
from vcam_relight.pipeline.lighting.lights import Light, direction
from vcam_relight.pipeline.lighting.lobes import Lobes, cone_irradiance, map_lobes
from vcam_relight.pipeline.lighting.sh import LAMBERT, basis

WHITE = (1.0, 1.0, 1.0)


@pytest.mark.parametrize("radius", [0.05, 0.4, 1.2])
@pytest.mark.parametrize("angle", [0.0, 60.0, 85.0, 100.0, 140.0])
def test_a_cone_gives_what_its_directions_give_together(radius: float, angle: float) -> None:
    random = np.random.default_rng(0)
    z = 1 - random.random(200_000) * (1 - np.cos(radius))
    phi = random.random(200_000) * 2 * np.pi
    x = np.sqrt(1 - z * z) * np.cos(phi)
    a = np.radians(angle)
    wanted = np.maximum(np.sin(a) * x + np.cos(a) * z, 0).mean()
    found = cone_irradiance(np.float32([np.cos(a)]), radius)[0]
    assert found == pytest.approx(wanted, abs=2e-3)


def test_lobes_are_the_order_2_light_that_they_were() -> None:
    """For a soft light both are close everywhere; in all they are the same."""
    lights = [Light(-40, 20, (2.0, 1.0, 0.5), 0.6), Light(60, 0, WHITE, 0.9)]
    lighting = Lighting.of_lights(lights, (0.2, 0.2, 0.2))
    normals, angle = map_directions()
    remainder = lighting.sh - lighting.lobes.sh
    assert np.abs(remainder[1:]).max() < 1e-6
    exact = lighting.lobes.irradiance(normals)
    order_2 = basis(normals) @ (LAMBERT[:, None] * lighting.lobes.sh)
    assert np.abs(exact - order_2).max() < 0.12 * exact.max()
    whole = [(light * angle[..., None]).sum(axis=(0, 1)) for light in (exact, order_2)]
    assert whole[0] == pytest.approx(whole[1], rel=0.01)


def sky_with_sun(azimuth: float, elevation: float, size: float) -> FloatArray:
    towards, _ = map_directions(64, 128)
    sun = towards @ direction(azimuth, elevation) > np.cos(np.radians(size))
    return np.asarray(0.2 + 40.0 * sun[..., None] * np.float32([1.0, 0.9, 0.7]), np.float32)


def test_a_sun_stays_a_sun() -> None:
    sky = sky_with_sun(50, 30, 8)
    _, angle = map_directions(64, 128)
    energy = ((sky - 0.2) * angle[..., None]).sum(axis=(0, 1))
    lobes, _ = map_lobes(small_map(sky))
    assert len(lobes.radii) == 1
    assert float(lobes.directions[0] @ direction(50, 30)) > np.cos(np.radians(3))
    assert lobes.rgb[0] == pytest.approx(energy, rel=0.15)
    assert 4 < np.degrees(lobes.radii[0]) < 14
    turned, _ = map_lobes(small_map(sky, 40))
    assert float(turned.directions[0] @ direction(90, 30)) > np.cos(np.radians(3))


def test_an_even_sky_has_no_lights() -> None:
    lobes, _ = map_lobes(np.ones((32, 64, 3), np.float32))
    assert len(lobes.radii) == 0


def face_with_nose(side: int = 64) -> FloatArray:
    """`(side, side)` depth in dm: a slab of a face, and a ridge of 0.3 in its middle."""
    x = (np.arange(side, dtype=np.float32) + 0.5) / side * 3.6 - 1.8
    ridge = 0.3 * np.clip(1 - np.abs(x) / 0.15, 0, 1)
    return np.asarray(np.tile(ridge, (side, 1)), np.float32)


def shadow(azimuth: float, softness: float) -> FloatArray:
    """`(64,)` visibility of a light along a row across the nose."""
    lobes = Lobes.of_lights([Light(azimuth, 0, WHITE, softness)])
    solid = np.ones((64, 64), np.float32)
    return lobe_visibility(face_with_nose(), solid, 1 / 1.8, lobes, 64)[0, 32]


def test_a_nose_casts_its_shadow_away_from_the_light() -> None:
    """A light from the left of the image leaves the right cheek beside the nose dark."""
    seen = shadow(-60, 0.05)
    left, right = seen[22:29].mean(), seen[35:38].mean()
    assert left > 0.9 and right < 0.4
    assert seen[55:60].min() > 0.9, "it ends"


def test_a_large_light_casts_a_soft_shadow() -> None:
    hard, soft = shadow(-60, 0.05), shadow(-60, 0.6)
    assert np.abs(np.diff(hard[36:])).max() > 3 * np.abs(np.diff(soft[36:])).max()
    assert hard[36] < soft[36] and hard[44] > soft[44]


def test_a_light_from_behind_draws_a_rim() -> None:
    lean = np.radians(np.linspace(0, 88, 45)).astype(np.float32)
    normals = np.stack([np.sin(lean), np.zeros_like(lean), np.cos(lean)], axis=-1)[None]
    lobes = Lobes.of_lights([Light(120, 10, WHITE, 0.2)])
    shine = lobe_highlights(lobes, normals, np.ones((1, 1, 45), np.float32))[0, :, 1]
    assert shine[:15].max() < 0.05 * shine.max() and shine.argmax() > 30
    whole = lobes.irradiance(normals)[0, :, 1] + shine
    assert np.all(np.diff(whole[25:]) >= -1e-3), "brighter and brighter towards the outline"
