"""The room's light: an HDRI as importance-sampled lights, irradiance, reflections and backdrop.

World axes: x to the right of the image, y up, z towards the camera.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import OpenEXR

# Longitude of the image's centre in the HDRI, as a share of its width: a
# plain wall, which puts the room's window behind the camera, a little aside.
_FORWARD = 0.152
# Ceiling lamps are clipped to this radiance: they would cast hard shadows.
_MAX_RADIANCE = 60.0
# GGX roughness of the layers of the reflection map.
REFLECTION_ROUGHNESS = (0.08, 0.25, 0.45, 0.7)
_REFLECTION_SIZE = (48, 96)


@dataclass(frozen=True)
class Lights:
    """Directional lights that stand for the environment.

    directions: (L, 3) unit vectors towards the light.
    irradiance: (L, 3) linear RGB, on a surface that faces the light.
    solid_angle: (L,) steradians of the environment that the light stands for.
    """

    directions: np.ndarray
    irradiance: np.ndarray
    solid_angle: np.ndarray


class DemoEnvironment:
    """A latitude-longitude environment map in linear RGB, (H, W, 3)."""

    def __init__(self, path: Path) -> None:
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
        pixels = np.stack([channels[name].pixels for name in "RGB"], axis=-1)
        self._pixels = np.clip(pixels.astype(np.float32), 0, _MAX_RADIANCE)

    def lights(self, count: int, seed: int) -> Lights:
        """`count` lights, half spread evenly and half drawn by energy.

        Both halves are stratified; every map pixel is given to its nearest
        light, so that no energy is lost.
        """
        small = cv2.resize(self._pixels, (256, 128), interpolation=cv2.INTER_AREA)
        directions, solid_angle = _map_directions(*small.shape[:2])
        energy = small.reshape(-1, 3) * solid_angle[:, None]
        even = _fibonacci_sphere(count // 2)
        share = np.cumsum(energy.sum(1)) / energy.sum()
        drawn = count - len(even)
        jitter = np.random.default_rng(seed).random(drawn)
        picks = np.searchsorted(share, (np.arange(drawn) + jitter) / drawn)
        centres = np.concatenate([even, directions[np.minimum(picks, len(share) - 1)]])
        owner = np.argmax(directions @ centres.T, axis=1)
        sums = np.zeros((count, 3))
        np.add.at(sums, owner, energy)
        weighted = np.zeros((count, 3))
        np.add.at(weighted, owner, directions * energy.sum(1, keepdims=True))
        used = sums.sum(1) > 0
        length = np.linalg.norm(weighted[used], axis=1, keepdims=True)
        owned = np.bincount(owner, solid_angle, minlength=count)
        return Lights(weighted[used] / length, sums[used], owned[used])

    def irradiance_harmonics(self) -> np.ndarray:
        """(9, 3) coefficients of irradiance in order-2 spherical harmonics."""
        small = cv2.resize(self._pixels, (128, 64), interpolation=cv2.INTER_AREA)
        directions, solid_angle = _map_directions(*small.shape[:2])
        basis = harmonics(directions)
        cosine = np.array([np.pi] + [2 * np.pi / 3] * 3 + [np.pi / 4] * 5)
        return cosine[:, None] * (basis.T @ (small.reshape(-1, 3) * solid_angle[:, None]))

    def reflections(self) -> np.ndarray:
        """Radiance convolved with GGX lobes, (layers, H, W, 3) float32, camera-centred longitude.

        Column 0 is the direction away from the camera (-z).
        """
        small = cv2.resize(self._pixels, (128, 64), interpolation=cv2.INTER_AREA)
        source, solid_angle = _map_directions(*small.shape[:2])
        radiance = small.reshape(-1, 3)
        targets, _ = _map_directions(*_REFLECTION_SIZE, forward=0.0)
        layers = []
        for roughness in REFLECTION_ROUGHNESS:
            a2 = roughness**4
            # With view = normal = reflection, the half vector lies half way.
            half_cos2 = (1 + np.clip(targets @ source.T, -1, 1)) / 2
            lobe = a2 / (half_cos2 * (a2 - 1) + 1) ** 2 * solid_angle
            lobe *= np.clip(2 * half_cos2 - 1, 0, None)
            layers.append(lobe @ radiance / lobe.sum(1, keepdims=True))
        return np.stack(layers).reshape(-1, *_REFLECTION_SIZE, 3).astype(np.float32)

    def backdrop(self, width: int, height: int, fov_y: float, blur: float) -> np.ndarray:
        """The room seen by the camera, out of focus: (height, width, 3) linear float32.

        fov_y in radians; blur: radius of the circle of confusion in pixels.
        """
        top = np.tan(fov_y / 2)
        y, x = np.meshgrid(
            np.linspace(top, -top, height),
            np.linspace(-1, 1, width) * top * width / height,
            indexing="ij",
        )
        azimuth, elevation = np.arctan2(x, 1.0), np.arctan2(y, np.hypot(x, 1.0))
        rows, columns = self._pixels.shape[:2]
        source_x = ((_FORWARD + azimuth / (2 * np.pi)) % 1 * columns - 0.5).astype(np.float32)
        source_y = ((0.5 - elevation / np.pi) * rows - 0.5).astype(np.float32)
        image = cv2.remap(
            np.minimum(self._pixels, 4.0),
            source_x,
            source_y,
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_WRAP,
        )
        radius = int(np.ceil(blur))
        grid = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1])
        disc = np.clip(blur + 0.5 - grid, 0, 1).astype(np.float32)
        blurred = cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE)
        # A last soft pass hides the coarse pixels of the map.
        return np.maximum(cv2.GaussianBlur(blurred, (0, 0), blur / 3), 0)


def harmonics(directions: np.ndarray) -> np.ndarray:
    """Real spherical harmonics to order 2, (N, 9), of unit `directions` (N, 3)."""
    x, y, z = directions.T
    return np.stack(
        [
            np.full_like(x, 0.282095),
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ],
        axis=1,
    )


def _map_directions(
    height: int, width: int, forward: float = _FORWARD
) -> tuple[np.ndarray, np.ndarray]:
    """World directions (H*W, 3) and solid angles (H*W,) of a map's pixels."""
    elevation = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    azimuth = ((np.arange(width) + 0.5) / width - forward) * 2 * np.pi
    el, az = np.meshgrid(elevation, azimuth, indexing="ij")
    directions = np.stack([np.sin(az) * np.cos(el), np.sin(el), -np.cos(az) * np.cos(el)], -1)
    solid_angle = np.cos(el) * (np.pi / height) * (2 * np.pi / width)
    return directions.reshape(-1, 3), solid_angle.ravel()


def _fibonacci_sphere(count: int) -> np.ndarray:
    """`count` evenly spread unit vectors."""
    step = np.arange(count) + 0.5
    y = 1 - 2 * step / count
    angle = np.pi * (1 + np.sqrt(5)) * step
    return np.stack([np.cos(angle) * np.sqrt(1 - y * y), y, np.sin(angle) * np.sqrt(1 - y * y)], 1)
