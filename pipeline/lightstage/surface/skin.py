"""Painting a person's skin: tone, blood, freckles, moles, make-up, hair roots on the scalp.

The photographs that MakeHuman's skins are made of lend only their fine detail. Their colour and
the shading baked into them (around the nose, in the eye sockets, under the lips) are taken out,
and the skin is coloured anew by how much melanin and blood it holds. Arithmetic is in linear
light, pigments act on its logarithm (Beer-Lambert).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import DECODE_8BIT, LUMINANCE_RGB, encode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.lightstage.core.regions import Regions, fractal_noise
from vcam_relight.pipeline.lightstage.core.scene import Texture

Colour = tuple[float, float, float]
"""Linear RGB."""

ITA_BINS = ((55.0, 68.0), (41.0, 55.0), (28.0, 41.0), (10.0, 28.0), (-30.0, 10.0), (-52.0, -30.0))
"""Ranges of the individual typology angle in degrees that are sampled: very light, light,
intermediate, tan, brown, dark (classes of Del Bino and Bernerd 2013; the first and the last are
open there)."""

# Colour of skin (CIELAB's a* and b*, D65) over the typology angle in degrees: an approximation made
# by eye, no measured table. Medium skin is the most colourful, as measurements agree.
_TONE_ANGLES = (-65.0, -50.0, -40.0, -25.0, -10.0, 5.0, 17.0, 30.0, 43.0, 55.0, 66.0, 80.0)
_TONE_A = (7.5, 9.5, 10.8, 12.2, 12.8, 12.8, 12.4, 11.6, 10.6, 9.4, 8.2, 7.0)
_TONE_B = (8.5, 11.5, 13.8, 16.2, 17.6, 18.3, 18.3, 17.6, 16.4, 14.6, 12.2, 9.5)
# Change of log albedo by blood: haemoglobin absorbs green most, red least.
_BLOOD = np.array([-0.10, -0.50, -0.38], np.float32)
# Warm (+) to cool (-) undertone, luminance kept.
_UNDERTONE = np.array([0.015, 0.010, -0.09], np.float32)
_MUCOSA: Colour = (0.26, 0.085, 0.075)
# Diffusion steps over the mesh that separate a photograph's detail from its shading.
_DETAIL_STEPS = 3
_DETAIL_LIMIT = 0.45


@dataclass(frozen=True, slots=True)
class MakeUp:
    """Layers of paint: each a linear RGB colour and how much of the skin it covers, 0..1."""

    lips: Colour
    lips_cover: float
    shadow: Colour
    shadow_cover: float
    liner_cover: float
    blush: Colour
    blush_cover: float
    foundation: float
    """0..1: evens out redness, freckles and detail."""


@dataclass(frozen=True, slots=True)
class SkinAppearance:
    """Everything that `paint` needs to know, apart from the photograph."""

    seed: int
    ita: float
    """Individual typology angle in degrees that the painted skin has, see `ita_degrees`."""
    undertone: float
    """-1 cool .. 1 warm."""
    redness: float
    """0..1: blood at cheeks, nose, ears and chin."""
    blotches: float
    """0..1: unevenness of melanin and blood."""
    freckles: float
    """0..1."""
    moles: int
    under_eyes: float
    """0..1: dark rings."""
    detail: float
    """Contrast of pores and wrinkles; 1 is the photograph's."""
    lips: float
    """-1 pale .. 1 red."""
    make_up: MakeUp | None
    scalp: Colour
    """Colour of the hair roots."""
    scalp_cover: float
    """0 bald .. 1 dense hair roots."""


def sample_skin(
    rng: np.random.Generator, gender: float, age: float, hair: Colour, bald: bool = False
) -> SkinAppearance:
    """A balanced draw: all six tone bins alike, make-up on half of the women and few men.

    gender: 0 woman .. 1 man. age: 0 young .. 1 old. hair: its linear RGB. bald: no roots.
    """
    low, high = ITA_BINS[rng.integers(len(ITA_BINS))]
    ita = rng.uniform(low + 1, high - 1)
    freckled = rng.random() < float(np.interp(ita, (-10, 20, 45, 60), (0.01, 0.05, 0.14, 0.2)))
    painted = rng.random() < (0.5 if gender < 0.5 else 0.03)
    return SkinAppearance(
        seed=int(rng.integers(2**31)),
        ita=float(ita),
        undertone=float(np.clip(rng.normal(0, 0.5), -1, 1)),
        redness=float(rng.beta(2, 3)),
        blotches=float(np.clip(rng.beta(2, 4) + 0.25 * age, 0, 1)),
        freckles=float(rng.uniform(0.25, 1)) if freckled else 0.0,
        moles=int(rng.poisson(2.5)),
        under_eyes=float(np.clip(rng.beta(2, 4) + 0.2 * age, 0, 1)),
        detail=float(rng.uniform(0.75, 1.15) + 0.2 * age),
        lips=float(rng.uniform(-1, 1)),
        make_up=_sample_make_up(rng, ita) if painted else None,
        scalp=hair,
        scalp_cover=0.0 if bald else float(rng.uniform(0.75, 0.95)),
    )


def paint(base: Texture, regions: Regions, appearance: SkinAppearance) -> Texture:
    """The skin of `appearance` in the layout of `regions`; what is no skin is the mouth's inside.

    base: (S, S, 4) a skin photograph in the same layout. The same arguments give the same bytes.
    """
    rng = np.random.default_rng(appearance.seed)
    painter = _SkinPainter(base, regions, appearance, rng)
    sample = np.flatnonzero(_measured(regions) > 0.02)
    low, high = -90.0, 90.0
    weights = _measured(regions)[sample]
    for _ in range(16):
        middle = (low + high) / 2
        if _typology_angle(painter.colours(middle, sample), weights) < appearance.ita:
            low = middle
        else:
            high = middle
    linear = painter.colours((low + high) / 2, np.arange(len(regions.texels)))
    # Dithering keeps dark, smooth skin from banding.
    dither = rng.random((len(linear), 1), np.float32)
    inside = np.full_like(base, 255)
    inside[..., :3] = np.rint(encode_srgb(np.array(_MUCOSA, np.float32)) * 255)
    return regions.write(inside, (encode_srgb(linear) * 255 + dither).astype(np.uint8))


def ita_degrees(texture: Texture, regions: Regions) -> float:
    """Individual typology angle of a skin texture, atan((L* - 50) / b*) in degrees.

    After Chardon et al. 1991; here of the mean linear colour over cheeks and forehead, D65.
    """
    linear = DECODE_8BIT[regions.read(texture)[:, :3]]
    return _typology_angle(linear, _measured(regions))


def over(lower: FloatArray, colour: Colour | FloatArray, cover: FloatArray) -> FloatArray:
    """Linear colours (K, 3) under a layer of `colour` that covers `cover` (K,) of them."""
    result: FloatArray = lower + (np.asarray(colour, np.float32) - lower) * cover[:, None]
    return result


class _SkinPainter:
    """What the skin holds at each texel, apart from its overall amount of melanin."""

    def __init__(
        self, base: Texture, regions: Regions, appearance: SkinAppearance, rng: np.random.Generator
    ) -> None:
        self._appearance = appearance
        masks, places = regions.masks, regions.places
        self._lips = masks["lips"]
        self._detail = _detail(base, regions) * appearance.detail
        coarse = fractal_noise(places, 0.55, rng)
        fine = fractal_noise(places, 0.12, rng)
        warm = (
            0.9 * masks["cheeks"] + masks["nose"] + masks["ears"]
            + 0.3 * np.exp(-(((places - (0.0, 6.30, 1.45)) / 0.18) ** 2).sum(1))
        )  # fmt: skip
        self._blood = (
            appearance.redness * warm * (0.55 + 0.12 * coarse)
            + appearance.blotches * (0.08 * fine + 0.06 * coarse)
            + 0.18 * masks["eyelids"]
        )
        # Melanin is counted in degrees of the typology angle that it takes away.
        speckle = fractal_noise(places, 0.3, rng)
        self._melanin = (
            appearance.blotches * (2.2 * speckle + 1.5 * fine)
            + appearance.under_eyes * 11 * masks["under_eyes"]
            + (3 + 5 * appearance.under_eyes) * masks["eyelids"]
            - 2.5 * masks["nose"] * appearance.redness
        )
        self._spots = _freckles(regions, appearance, rng) + _moles(regions, appearance, rng)
        self._roots = appearance.scalp_cover * _roots(regions, rng)
        self._masks = masks
        if appearance.make_up is not None:
            even = appearance.make_up.foundation * masks["face"] * (1 - masks["lips"])
            self._detail *= (1 - 0.5 * even)[:, None]
            self._blood *= 1 - 0.8 * even
            self._melanin *= 1 - 0.7 * even
            self._spots *= 1 - 0.8 * even

    def colours(self, angle: float, at: np.ndarray) -> FloatArray:
        """Linear RGB (N, 3) of the texels `at` (N,) of skin with the typology angle `angle`."""
        appearance = self._appearance
        skin = _tone(angle - self._melanin[at] - self._spots[at])
        # Blood and lips show less through much melanin.
        shown = float(np.interp(angle, (-50, 20, 60), (0.35, 0.8, 1.0)))
        lips = self._lips[at]
        blood = self._blood[at] + lips * (0.75 + 0.4 * appearance.lips)
        log = np.log(skin) + shown * blood[:, None] * _BLOOD
        log += appearance.undertone * _UNDERTONE + self._detail[at]
        log += lips[:, None] * np.float32(-0.12)
        linear: FloatArray = np.exp(log).astype(np.float32)
        linear = over(linear, appearance.scalp, self._roots[at])
        make_up = appearance.make_up
        if make_up is not None:
            masks = self._masks
            grain = np.exp(self._detail[at] * 0.8)
            lipstick = np.asarray(make_up.lips, np.float32) * grain
            linear = over(linear, lipstick, make_up.lips_cover * lips)
            # Blush and shadow are glazes: they take their colour from what is below, too.
            linear = _glaze(linear, make_up.blush, make_up.blush_cover * masks["blush"][at])
            linear = _glaze(linear, make_up.shadow, make_up.shadow_cover * masks["eyelids"][at])
            linear = over(
                linear, (0.006, 0.005, 0.005), make_up.liner_cover * masks["lash_line"][at]
            )
        return np.clip(linear, 0, 1)


def _glaze(lower: FloatArray, colour: Colour, cover: FloatArray) -> FloatArray:
    target = np.asarray(colour, np.float32)
    return over(lower, 0.6 * target + 0.4 * lower * target / target.max(), cover)


def _sample_make_up(rng: np.random.Generator, ita: float) -> MakeUp:
    # Linear RGB; the darker the skin, the deeper the shades people choose.
    depth = float(np.interp(ita, (-50, 0, 50), (0.25, 0.6, 1.0)))
    reds = ((0.42, 0.02, 0.04), (0.55, 0.12, 0.14), (0.30, 0.03, 0.09), (0.42, 0.13, 0.10),
            (0.50, 0.10, 0.22), (0.16, 0.015, 0.03))  # fmt: skip
    shades = ((0.10, 0.06, 0.045), (0.05, 0.045, 0.05), (0.22, 0.10, 0.09), (0.06, 0.07, 0.13),
              (0.12, 0.05, 0.11), (0.30, 0.20, 0.11))  # fmt: skip
    blushes = ((0.62, 0.20, 0.19), (0.60, 0.26, 0.18), (0.52, 0.15, 0.22))

    def pick(colours: tuple[Colour, ...]) -> Colour:
        factors = depth * rng.uniform(0.85, 1.15, 3)
        r, g, b = np.array(colours[rng.integers(len(colours))]) * factors
        return float(r), float(g), float(b)

    strong = rng.random() < 0.35
    return MakeUp(
        lips=pick(reds),
        lips_cover=float(rng.uniform(0.6, 0.9) if strong else rng.uniform(0.1, 0.5)),
        shadow=pick(shades),
        shadow_cover=float(rng.uniform(0.0, 0.65 if strong else 0.35)),
        liner_cover=float(rng.uniform(0.2, 0.85)) if rng.random() < 0.6 else 0.0,
        blush=pick(blushes),
        blush_cover=float(rng.uniform(0.0, 0.35)),
        foundation=float(rng.uniform(0.2, 0.9)),
    )


def _detail(base: Texture, regions: Regions) -> FloatArray:
    """Log albedo (K, 3) of a photograph without its colour and shading."""
    log = np.log(np.maximum(DECODE_8BIT[regions.read(base)[:, :3]], 0.004))
    grey = (log @ LUMINANCE_RGB)[:, None]
    # Half of the fine colour is kept: capillaries, not the compression's blocks.
    fine = grey + 0.5 * (log - grey)
    fine = fine - regions.smooth(fine, _DETAIL_STEPS)
    # The photographed scalps are shaven: their stubble is painted over, or gone with baldness.
    kept = regions.edge * (1 - 0.75 * regions.masks["scalp"])
    limited = _DETAIL_LIMIT * np.tanh(fine / _DETAIL_LIMIT) * kept[:, None]
    return limited.astype(np.float32)


def _freckles(regions: Regions, appearance: SkinAppearance, rng: np.random.Generator) -> FloatArray:
    """Degrees of typology angle (K,) taken away by freckles."""
    if appearance.freckles == 0:
        return np.zeros(len(regions.texels), np.float32)
    places, masks = regions.places, regions.masks
    spots = fractal_noise(places, 0.022, rng, octaves=1)
    patches = fractal_noise(places, 0.4, rng, octaves=2)
    sunny = np.clip(
        1.1 * masks["cheeks"] + masks["nose"] + 0.5 * masks["forehead"] + 0.5 * masks["blush"]
        + 0.25, 0, 1,
    ) * masks["face"] * (1 - masks["lips"])  # fmt: skip
    level = 2.2 - 0.8 * appearance.freckles - 0.25 * patches - 0.5 * sunny
    strength: FloatArray = smoothstep(-0.1, 0.8, spots - level) * sunny
    return strength * np.float32(8 + 10 * appearance.freckles)


def _moles(regions: Regions, appearance: SkinAppearance, rng: np.random.Generator) -> FloatArray:
    """Degrees of typology angle (K,) taken away by moles on face and neck."""
    total = np.zeros(len(regions.texels), np.float32)
    weight = regions.masks["face"] * (1 - regions.masks["lips"])
    chance = np.cumsum(weight + 1e-9)
    for _ in range(appearance.moles):
        centre = regions.places[np.searchsorted(chance, rng.random() * chance[-1])]
        radius = rng.uniform(0.012, 0.026)
        distance = np.linalg.norm(regions.places - centre, axis=1)
        total += smoothstep(radius * 1.25, radius * 0.6, distance) * rng.uniform(22, 60)
    return total


def _roots(regions: Regions, rng: np.random.Generator) -> FloatArray:
    """Share (K,) of the skin that hair roots hide: dense on the scalp, thin at the hairline."""
    scalp = regions.masks["scalp"]
    follicles = fractal_noise(regions.places, 0.018, rng, octaves=1)
    uneven = fractal_noise(regions.places, 0.25, rng, octaves=2)
    line = np.clip(scalp + 0.5 * uneven * scalp * (1 - scalp), 0, 1)
    cover: FloatArray = line * np.clip(0.93 + 0.05 * follicles - 0.7 * (1 - line), 0, 1)
    return cover


def _tone(angle: FloatArray) -> FloatArray:
    """Linear RGB (N, 3) of skin with typology angles (N,) in degrees."""
    table_angles = np.linspace(-89, 89, 179)
    a = np.interp(table_angles, _TONE_ANGLES, _TONE_A)
    b = np.interp(table_angles, _TONE_ANGLES, _TONE_B)
    lightness = 50 + b * np.tan(np.radians(np.clip(table_angles, _TONE_ANGLES[0], 75)))
    # Beyond the measured ends, melanin goes on absorbing (moles on dark skin).
    lightness -= 0.25 * np.clip(_TONE_ANGLES[0] - table_angles, 0, None)
    lab = np.stack([np.clip(lightness, 8, 92), a, b], axis=1).astype(np.float32)[None]
    linear = np.maximum(cv2.cvtColor(lab, cv2.COLOR_LAB2LRGB)[0], 0.003)
    channels = [np.interp(angle, table_angles, channel) for channel in linear.T]
    result: FloatArray = np.stack(channels, axis=1).astype(np.float32)
    return result


def _measured(regions: Regions) -> FloatArray:
    """Weights (K,) of the skin that the typology angle is measured on."""
    masks = regions.masks
    share: FloatArray = np.clip(masks["cheeks"] + masks["forehead"] - 0.3, 0, 1) * (
        (1 - masks["scalp"]) * (1 - masks["jaw"])
    )
    return share


def _typology_angle(linear: FloatArray, weights: FloatArray) -> float:
    mean = (linear * weights[:, None]).sum(0) / weights.sum()
    lightness, _, b = cv2.cvtColor(mean[None, None].astype(np.float32), cv2.COLOR_LRGB2LAB)[0, 0]
    return float(np.degrees(np.arctan2(lightness - 50, b)))
