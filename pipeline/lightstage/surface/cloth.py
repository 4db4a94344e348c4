"""Colours and patterns of what people wear, as small textures."""

from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from vcam_relight.pipeline.core.color import encode_srgb
from vcam_relight.pipeline.lightstage.core.scene import Texture
from vcam_relight.pipeline.lightstage.core.solids import Reals
from vcam_relight.pipeline.lightstage.surface.skin import Colour

Pattern = Literal["plain", "striped", "checked", "speckled"]


def cloth_colour(rng: np.random.Generator) -> Colour:
    """Black, white, grey or any hue, more often muted."""
    if rng.random() < 0.4:
        r = g = b = rng.choice([0.012, 0.03, 0.12, 0.45, 0.7]) * rng.uniform(0.8, 1.2)
    else:
        r, g, b = rng.uniform(0.02, 0.55, 3) ** 1.3
    return float(r), float(g), float(b)


def cloth(
    first: Colour, second: Colour, pattern: Pattern, ribbed: bool, rng: np.random.Generator
) -> Texture:
    """Weave and pattern; tiles in u."""
    size = 256
    v, u = np.meshgrid(np.arange(size) / size, np.arange(size) / size, indexing="ij")
    low, high = np.asarray(first, np.float32), np.asarray(second, np.float32)
    share: Reals = np.zeros((size, size))
    if pattern == "striped":
        share = (np.sin(2 * np.pi * v * rng.integers(4, 10)) > rng.uniform(-0.2, 0.7)).astype(float)
    elif pattern == "checked":
        count = int(rng.integers(8, 16))
        share = (
            (np.sin(2 * np.pi * u * count) > 0.3).astype(float) + (np.sin(np.pi * v * count) > 0.3)
        ) / 2
    elif pattern == "speckled":
        noise = gaussian_filter(rng.standard_normal((size, size)), 2.2, mode="wrap")
        share = np.clip((noise / noise.std() - 0.9) * 3, 0, 1)
    share = gaussian_filter(share, 0.7, mode=("nearest", "wrap"))[..., None]
    pixels = low + (high - low) * share
    grain = gaussian_filter(rng.standard_normal((size, size)), 0.6, mode="wrap")
    if ribbed:
        grain = grain * 0.6 + 1.6 * (np.cos(2 * np.pi * u * 32) - 0.4) * 0.5
    return encode(pixels * np.exp(0.12 * grain)[..., None])


def encode(linear: Reals, alpha: Reals | float = 1.0) -> Texture:
    """A texture of linear RGB (H, W, 3) and alpha, one for all or (H, W)."""
    rgba = np.empty((*linear.shape[:2], 4), np.uint8)
    rgba[..., :3] = np.rint(encode_srgb(linear.astype(np.float32)) * 255)
    rgba[..., 3] = np.rint(np.asarray(alpha) * 255)
    return rgba
