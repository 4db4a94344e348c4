"""Who a person is: everything that makes the same person again, drawn from a seed."""

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from vcam_relight.pipeline.lightstage.core.split import Split
from vcam_relight.pipeline.lightstage.person.traits import (
    ASYMMETRIES,
    CLOTHES,
    DETAILS,
    HAIR_COLOURS,
    HAIR_STYLES,
    HEAD_SHAPES,
    IRISES,
    NATURAL_COLOURS,
    PHOTOGRAPHS,
)
from vcam_relight.pipeline.lightstage.surface.cloth import Pattern, cloth_colour
from vcam_relight.pipeline.lightstage.surface.facial_hair import FacialHair, sample_facial_hair
from vcam_relight.pipeline.lightstage.surface.skin import (
    ITA_BINS,
    Colour,
    SkinAppearance,
    sample_skin,
)
from vcam_relight.pipeline.lightstage.wear.glasses import Glasses, sample_glasses
from vcam_relight.pipeline.lightstage.wear.headwear import Headwear, sample_headwear

MODES = 100
"""Identity modes of ICT-FaceKit."""
MODE_SPREAD = 0.8
"""Their standard deviation here; 1 is that of the scanned people."""

# Steps of an additive recurrence of low discrepancy in five dimensions (Roberts 2018): any run of
# consecutive seeds is balanced over gender, age, skin tone, hair style and hair colour.
_STEPS = 1.1347241384 ** -np.arange(1.0, 6.0)
# Share of the combinations of hair style and skin photograph that only tests see: one of this many.
_RESERVED = 5
_BROWS = tuple(f"eyebrow{k:03d}" for k in range(1, 13))
_THIN_BROWS = ("eyebrow006", "eyebrow007")
_LASHES = tuple(f"eyelashes{k:02d}" for k in range(1, 5))
_PATTERNS: tuple[Pattern, ...] = ("plain", "striped", "checked", "speckled")


@dataclass(frozen=True, slots=True)
class Clothing:
    """What is worn on the body."""

    garment: str
    first: Colour
    """Linear RGB."""
    second: Colour
    pattern: Pattern
    ribbed: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Identity:
    """One person. Equal identities give equal figures."""

    seed: int
    split: Split
    gender: float
    """0 woman .. 1 man."""
    age: float
    """0 a young adult .. 1 old."""
    ancestry: tuple[float, float, float]
    """Shares of MakeHuman's caucasian, african and asian shapes."""
    muscle: float
    weight: float
    """0..1, both."""
    details: tuple[tuple[str, float], ...]
    """Morph targets and their weights."""
    modes: tuple[float, ...]
    """Coefficients of ICT-FaceKit's identity modes."""
    photograph: str
    """The skin whose fine detail is used."""
    skin: SkinAppearance
    beard: FacialHair | None
    hair: str | None
    """None for a shaven or bald head."""
    hair_colour: Colour
    """Linear RGB."""
    brows: str
    brow_colour: Colour
    lashes: str
    iris: Colour
    clothing: Clothing
    glasses: Glasses | None
    headwear: Headwear | None


def sample_identity(seed: int, split: Split = "train") -> Identity:
    """Draws a person.

    Any run of consecutive seeds is balanced over gender, age, skin tone and hair.

    Args:
        seed: at least 0.
        split: people of `test` and of `train` differ for equal seeds, and share no combination of
            hair style and skin photograph.
    """
    rng = np.random.default_rng([seed, 0 if split == "train" else 1])
    start = 0.5 if split == "train" else 0.137
    man, age, tone, style, shade = (start + (seed + 1) * _STEPS) % 1
    gender = float(np.clip(rng.normal(0.88 if man < 0.5 else 0.12, 0.12), 0, 1))
    if (gender >= 0.5) != (man < 0.5):
        gender = 1 - gender
    # Half are young, and old age is no rarer than middle age.
    age = float(age**1.3)
    bin_index = int(tone * len(ITA_BINS))
    hair_name = _weighted(HAIR_STYLES[gender >= 0.5], style)
    hair = None if hair_name in ("bald", "buzz") else hair_name
    dyed, hair_colour = _hair_colour(rng, shade, bin_index, age)
    # Roots lie in the skin and appearance darker than the hair.
    roots = (0.6 * hair_colour[0], 0.6 * hair_colour[1], 0.6 * hair_colour[2])
    low, high = ITA_BINS[bin_index]
    appearance = sample_skin(rng, gender, age, roots, hair_name == "bald")
    while not low <= appearance.ita < high:
        appearance = sample_skin(rng, gender, age, roots, hair_name == "bald")
    if hair_name == "buzz":
        appearance = replace(appearance, scalp_cover=float(rng.uniform(0.3, 0.7)))
    beard = sample_facial_hair(rng, gender, age, hair_colour)
    thin = _THIN_BROWS if gender >= 0.5 else ()
    natural = NATURAL_COLOURS["dark brown"] if dyed else hair_colour
    # Fair hair goes with darker brows.
    darker = rng.uniform(0.35, 0.8) / (1 + 4 * natural[1])
    r, g, b = (float(c) * darker for c in natural)
    return Identity(
        seed=seed,
        split=split,
        gender=gender,
        age=age,
        ancestry=_ancestry(rng, bin_index),
        muscle=float(rng.beta(3, 3) * 0.3 + (0.35 + 0.25 * gender)),
        weight=float(np.clip(rng.normal(0.5, 0.16), 0.1, 0.95)),
        details=_details(rng),
        modes=tuple(np.clip(rng.normal(0, MODE_SPREAD, MODES), -2, 2).tolist()),
        photograph=_photograph(rng, hair, age, split),
        skin=appearance,
        beard=beard,
        hair=hair,
        hair_colour=hair_colour,
        brows=str(rng.choice([name for name in _BROWS if name not in thin])),
        brow_colour=(r, g, b),
        lashes=_LASHES[0] if gender >= 0.5 else str(rng.choice(_LASHES[:3])),
        iris=_iris(rng, bin_index),
        clothing=_clothing(rng, gender),
        glasses=sample_glasses(rng, gender, age),
        headwear=sample_headwear(rng, gender, age),
    )


def _weighted(table: dict[str, float], quantile: float) -> str:
    ends = np.cumsum(list(table.values()))
    return list(table)[int(np.searchsorted(ends / ends[-1], quantile, side="right"))]


def _ancestry(rng: np.random.Generator, tone: int) -> tuple[float, float, float]:
    """Shapes go with the skin's tone as they do among people: loosely."""
    # Of the tone bins from very light to dark: caucasian, african, asian.
    means = ((0.8, 0.02, 0.18), (0.6, 0.03, 0.37), (0.5, 0.08, 0.42), (0.42, 0.25, 0.33),
             (0.25, 0.6, 0.15), (0.05, 0.92, 0.03))  # fmt: skip
    a, b, c = rng.dirichlet(np.array(means[tone]) * 2.2 + 0.02)
    return float(a), float(b), float(c)


def _hair_colour(
    rng: np.random.Generator, shade: float, tone: int, age: float
) -> tuple[bool, Colour]:
    """Whether it is dyed, and its linear RGB."""
    name = _weighted(HAIR_COLOURS[min(tone // 2, 2)], shade)
    if name in ("blond", "red", "brown", "dark brown", "black") and rng.random() < 1.1 * age - 0.45:
        name = "white" if rng.random() < age - 0.4 else "grey"
    if name == "dyed":
        base = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 0.9), rng.uniform(0.15, 0.5))
    else:
        base = NATURAL_COLOURS[name]
    light, warm = rng.lognormal(0, 0.22), rng.normal(0, 0.06)
    r, g, b = np.clip(np.array(base) * light * (1 + warm, 1, 1 - warm), 0.004, 0.75)
    return name == "dyed", (float(r), float(g), float(b))


def _iris(rng: np.random.Generator, tone: int) -> Colour:
    names = list(IRISES)
    light = (0.75, 0.5, 0.25, 0.12, 0.04, 0.02)[tone]
    chances = np.array([(light if shade == "light" else 1 - light) for shade, _ in IRISES.values()])
    counts = [sum(other == shade for other, _ in IRISES.values()) for shade, _ in IRISES.values()]
    chances = chances / counts
    _, colour = IRISES[names[int(rng.choice(len(names), p=chances / chances.sum()))]]
    r, g, b = np.array(colour) * rng.uniform(0.75, 1.3) * rng.uniform(0.9, 1.1, 3)
    return float(r), float(g), float(b)


def _clothing(rng: np.random.Generator, gender: float) -> Clothing:
    pattern = _PATTERNS[int(rng.choice(4, p=(0.58, 0.18, 0.14, 0.10)))]
    return Clothing(
        str(rng.choice(CLOTHES[gender >= 0.5])),
        cloth_colour(rng),
        cloth_colour(rng),
        pattern,
        bool(rng.random() < 0.2),
        int(rng.integers(2**31)),
    )


def _photograph(rng: np.random.Generator, hair: str | None, age: float, split: Split) -> str:
    """One whose wrinkles fit the age, of the combinations with `hair` that the split may use."""
    row = 0 if hair is None else 1 + sorted({*HAIR_STYLES[0], *HAIR_STYLES[1]}).index(hair)
    names = list(PHOTOGRAPHS)
    allowed = [
        name
        for column, name in enumerate(names)
        if ((row + 2 * column) % _RESERVED == 0) == (split == "test")
    ]
    closeness = np.array([np.exp(-(((PHOTOGRAPHS[name] - age) / 0.3) ** 2)) for name in allowed])
    return allowed[int(rng.choice(len(allowed), p=closeness / closeness.sum()))]


def _details(rng: np.random.Generator) -> tuple[tuple[str, float], ...]:
    chosen: list[tuple[str, float]] = []
    for stem, (low, high, spread) in DETAILS.items():
        value = spread * float(np.clip(rng.normal(0, 0.8), -1.8, 1.8))
        folder, _, name = stem.partition("/")
        sides = ("l-", "r-") if folder in ("eyes", "ears", "cheek") else ("",)
        for side in sides:
            own = value + (rng.normal(0, 0.15 * spread) if side else 0.0)
            chosen.append((f"{folder}/{side}{name}-{high if own > 0 else low}", abs(float(own))))
    chosen.append((f"head/head-{rng.choice(HEAD_SHAPES)}", float(rng.uniform(0, 0.5))))
    for name in rng.choice(ASYMMETRIES, 4, replace=False):
        side = "lr"[int(rng.integers(2))]
        chosen.append((f"asym/asym-{name}-{side}", float(rng.uniform(0, 0.18))))
    return tuple(chosen)
