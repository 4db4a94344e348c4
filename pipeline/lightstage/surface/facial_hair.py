"""Beards, moustaches and stubble, painted on the skin's albedo."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vcam_relight.pipeline.core.color import DECODE_8BIT, encode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.lightstage.core.regions import Regions, fractal_noise
from vcam_relight.pipeline.lightstage.core.scene import Texture
from vcam_relight.pipeline.lightstage.surface.skin import Colour, over

Style = Literal["stubble", "moustache", "goatee", "circle", "full", "short_boxed", "sideburns"]

# Regions of each style and how densely each is grown.
_AREAS: dict[Style, dict[str, float]] = {
    "stubble": {"moustache": 0.9, "chin": 1.0, "jaw": 0.8, "sideburns": 0.7},
    "moustache": {"moustache": 1.0},
    "goatee": {"chin": 1.0},
    "circle": {"moustache": 1.0, "chin": 1.0},
    "full": {"moustache": 1.0, "chin": 1.0, "jaw": 1.0, "sideburns": 1.0},
    "short_boxed": {"moustache": 0.9, "chin": 1.0, "jaw": 0.8, "sideburns": 0.9},
    "sideburns": {"sideburns": 1.0},
}
# Width of a painted tuft and its length along the hair's direction, dm.
_TUFT, _STRETCH = 0.009, 7.0
# The direction in which facial hair grows: down and, below the chin, back.
_GROWTH = np.array([0.0, -0.94, -0.34])


@dataclass(frozen=True, slots=True)
class FacialHair:
    """A beard; `cover` is the share of skin it hides where it is densest, 0..1."""

    seed: int
    style: Style
    colour: Colour
    """Linear RGB."""
    cover: float
    grey: float
    """0..1: share of tufts that are grey."""


def sample_facial_hair(
    rng: np.random.Generator, gender: float, age: float, hair: Colour
) -> FacialHair | None:
    """A beard in any form for 45 of 100 men, none for women.

    gender: 0 woman .. 1 man. age: 0 young .. 1 old. hair: linear RGB of the person's hair.
    """
    if gender < 0.5 or rng.random() >= 0.45:
        return None
    styles = get_args(Style)
    chances = np.array([0.34, 0.09, 0.08, 0.13, 0.17, 0.16, 0.03])
    style = styles[int(rng.choice(len(styles), p=chances / chances.sum()))]
    # Beards are often darker and redder than the hair.
    darker = rng.uniform(0.45, 0.9)
    r, g, b = np.array(hair) * darker * np.array([rng.uniform(1.0, 1.2), 1.0, 0.92])
    cover = rng.uniform(0.3, 0.6) if style == "stubble" else rng.uniform(0.86, 0.97)
    return FacialHair(
        seed=int(rng.integers(2**31)),
        style=style,
        colour=(float(r), float(g), float(b)),
        cover=float(cover),
        grey=float(np.clip(rng.normal(1.2 * (age - 0.55), 0.12), 0, 0.8)),
    )


def paint(texture: Texture, regions: Regions, beard: FacialHair) -> Texture:
    """`texture` (S, S, 4) with the beard on it; the same arguments give the same bytes."""
    rng = np.random.default_rng(beard.seed)
    grown = _grown(regions, beard.style, rng)
    at = np.flatnonzero(grown > 0.002)
    places, grown = regions.places[at], grown[at]
    # Texels on the neck are too far apart for strands: they fade out towards the seam.
    fine = smoothstep(3 * _TUFT, _TUFT, regions.spacing[at]) * regions.edge[at]
    strands = _strands(places, rng) * fine
    if beard.style == "stubble":
        dots = fractal_noise(places, 0.02, rng, octaves=1) * fine
        density = grown * np.clip(0.8 + 0.3 * dots + 0.1 * strands, 0, 1.3) * beard.cover
    else:
        # Where hair is thin, the skin shows between its tufts first.
        thin = smoothstep(0.0, 1.0, 1.5 * grown - 0.35 + 0.4 * strands * (1.15 - grown))
        density = beard.cover * thin
    shade = np.exp(0.28 * strands)[:, None]
    hair = np.asarray(beard.colour, np.float32) * shade
    tufts = np.clip(0.7 + 0.8 * _strands(places, rng) * fine, 0, 1.6)
    silver = 0.9 * np.clip(beard.grey * tufts, 0, 1)
    hair = over(hair, (0.33, 0.32, 0.30), silver.astype(np.float32))
    linear = DECODE_8BIT[regions.read(texture)[:, :3]]
    linear[at] = over(linear[at], hair, np.clip(density, 0, 0.985))
    encoded = np.rint(encode_srgb(linear) * 255).astype(np.uint8)
    return regions.write(texture, encoded)


def _grown(regions: Regions, style: Style, rng: np.random.Generator) -> FloatArray:
    """How dense (K,) the hair is, 0..1, with an uneven border."""
    total = np.zeros(len(regions.texels), np.float32)
    for name, share in _AREAS[style].items():
        total = np.maximum(total, share * regions.masks[name])
    uneven = fractal_noise(regions.places, 0.12, rng)
    border = 4 * total * (1 - total)
    grown: FloatArray = np.clip(total + 0.16 * border * uneven, 0, 1) * (total > 0)
    return grown


def _strands(places: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Noise (K,) drawn out along the hair, deviation about 1."""
    bend = fractal_noise(places, 0.35, rng, octaves=2)[:, None]
    along = places @ _GROWTH
    squeezed = places - (1 - 1 / _STRETCH) * along[:, None] * _GROWTH
    squeezed = squeezed + 0.012 * bend * np.array([1.0, 0.0, 1.0])
    return fractal_noise(squeezed.astype(np.float32), _TUFT * 2, rng, octaves=2)
