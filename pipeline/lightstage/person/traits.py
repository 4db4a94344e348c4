"""What people are drawn from: names in the asset pack and how often each is chosen."""

from vcam_relight.pipeline.lightstage.surface.skin import Colour

HAIR_STYLES: tuple[dict[str, float], dict[str, float]] = (
    {"long01": 24, "bob02": 8, "ponytail01": 22, "braid01": 16, "short01": 8, "short02": 7,
     "short03": 5, "short04": 6, "buzz": 4},
    {"short01": 20, "short02": 22, "short03": 5, "short04": 20, "bald": 8, "buzz": 13,
     "long01": 4, "ponytail01": 6, "braid01": 2},
)  # fmt: skip
"""Of women and of men; `buzz` and `bald` are painted on the scalp only."""

HAIR_COLOURS: tuple[dict[str, float], dict[str, float], dict[str, float]] = (
    {"black": 13, "dark brown": 20, "brown": 22, "blond": 22, "red": 14, "dyed": 6},
    {"black": 34, "dark brown": 32, "brown": 18, "blond": 6, "red": 3, "dyed": 6},
    {"black": 60, "dark brown": 24, "brown": 5, "blond": 3, "red": 2, "dyed": 6},
)
"""Of light, intermediate and dark skin, before age turns some grey."""

NATURAL_COLOURS: dict[str, Colour] = {
    "black": (0.012, 0.010, 0.009),
    "dark brown": (0.030, 0.017, 0.011),
    "brown": (0.075, 0.038, 0.020),
    "red": (0.17, 0.048, 0.016),
    "blond": (0.34, 0.22, 0.105),
    "grey": (0.20, 0.19, 0.18),
    "white": (0.50, 0.48, 0.45),
}
"""Mean linear RGB of hair."""

IRISES: dict[str, tuple[str, Colour]] = {
    "dark brown": ("dark", (0.030, 0.014, 0.007)),
    "brown": ("dark", (0.075, 0.034, 0.013)),
    "hazel": ("dark", (0.130, 0.075, 0.025)),
    "blue": ("light", (0.100, 0.170, 0.270)),
    "grey": ("light", (0.190, 0.220, 0.230)),
    "green": ("light", (0.120, 0.150, 0.070)),
}
"""Whether a dark or a light eye, and its mean linear RGB."""

PHOTOGRAPHS: dict[str, float] = {
    "middleage_darkskinned_male_diffuse": 0.55,
    "middleage_lightskinned_female_diffuse2": 0.55,
    "middleage_lightskinned_male_diffuse": 0.6,
    "middleage_lightskinned_male_diffuse2": 0.6,
    "old_darkskinned_male_diffuse": 0.95,
    "young_darkskinned_male_diffuse": 0.1,
    "young_lightskinned_female_diffuse2": 0.1,
    "young_lightskinned_female_diffuse3": 0.1,
    "young_lightskinned_male_diffuse": 0.1,
    "young_lightskinned_male_diffuse2": 0.1,
    "young_lightskinned_male_diffuse3": 0.1,
}
"""The age, 0 young .. 1 old, that each skin's wrinkles go with."""

CLOTHES: tuple[tuple[str, ...], tuple[str, ...]] = (
    ("female_casualsuit01", "female_casualsuit02", "female_elegantsuit01", "female_sportsuit01"),
    ("male_casualsuit01", "male_casualsuit02", "male_casualsuit03", "male_casualsuit04",
     "male_casualsuit05", "male_casualsuit06", "male_elegantsuit01", "male_worksuit01"),
)  # fmt: skip
"""Of women and of men."""

PRINTED = (
    "female_elegantsuit01", "male_casualsuit03", "male_casualsuit05", "male_elegantsuit01",
    "male_worksuit01",
)  # fmt: skip
"""Clothes of several materials: their own image is kept, in other colours. The others are cut
from one cloth; their images bear a maker's emblem."""

HEAD_SHAPES = (
    "oval", "round", "rectangular", "square", "triangular", "invertedtriangular", "diamond",
)  # fmt: skip

ASYMMETRIES = (
    "brown-1", "brown-2", "cheek-1", "cheek-2", "ear-1", "ear-3", "eye-1", "eye-3", "eye-5",
    "jaw-1", "jaw-2", "jaw-3", "mouth-1", "mouth-2", "nose-1", "nose-2", "nose-3", "nose-4",
    "temple-1", "temple-2", "top-1", "top-2",
)  # fmt: skip

_D, _I = "decr", "incr"
DETAILS: dict[str, tuple[str, str, float]] = {
    "head/head-age": (_D, _I, 0.15),
    "head/head-angle": ("in", "out", 0.2),
    "head/head-fat": (_D, _I, 0.25),
    "head/head-scale-depth": (_D, _I, 0.2),
    "head/head-scale-horiz": (_D, _I, 0.2),
    "head/head-scale-vert": (_D, _I, 0.2),
    "head/head-back-scale-depth": (_D, _I, 0.25),
    "forehead/forehead-nubian": (_D, _I, 0.25),
    "forehead/forehead-scale-vert": (_D, _I, 0.25),
    "forehead/forehead-temple": (_D, _I, 0.3),
    "forehead/forehead-trans": ("backward", "forward", 0.25),
    "eyebrows/eyebrows-angle": ("down", "up", 0.3),
    "eyebrows/eyebrows-trans": ("down", "up", 0.3),
    "eyes/eye-bag": (_D, _I, 0.3),
    "eyes/eye-bag-height": (_D, _I, 0.3),
    "eyes/eye-corner1": ("down", "up", 0.3),
    "eyes/eye-corner2": ("down", "up", 0.3),
    "eyes/eye-epicanthus": ("in", "out", 0.3),
    "eyes/eye-eyefold-angle": ("down", "up", 0.3),
    "eyes/eye-eyefold": ("concave", "convex", 0.3),
    "eyes/eye-height1": (_D, _I, 0.2),
    "eyes/eye-height2": (_D, _I, 0.2),
    "eyes/eye-height3": (_D, _I, 0.2),
    "eyes/eye-push1": ("in", "out", 0.25),
    "eyes/eye-push2": ("in", "out", 0.25),
    "eyes/eye-scale": (_D, _I, 0.2),
    "eyes/eye-trans": ("in", "out", 0.2),
    "nose/nose-base": ("down", "up", 0.3),
    "nose/nose-compression": ("compress", "uncompress", 0.3),
    "nose/nose-curve": ("concave", "convex", 0.3),
    "nose/nose-flaring": (_D, _I, 0.3),
    "nose/nose-greek": (_D, _I, 0.3),
    "nose/nose-hump": (_D, _I, 0.3),
    "nose/nose-nostrils-angle": ("down", "up", 0.3),
    "nose/nose-nostrils-width": (_D, _I, 0.3),
    "nose/nose-point": ("down", "up", 0.3),
    "nose/nose-point-width": (_D, _I, 0.3),
    "nose/nose-scale-depth": (_D, _I, 0.25),
    "nose/nose-scale-horiz": (_D, _I, 0.25),
    "nose/nose-scale-vert": (_D, _I, 0.25),
    "nose/nose-septumangle": (_D, _I, 0.25),
    "nose/nose-volume": (_D, _I, 0.25),
    "nose/nose-width1": (_D, _I, 0.3),
    "nose/nose-width2": (_D, _I, 0.3),
    "nose/nose-width3": (_D, _I, 0.3),
    "mouth/mouth-angles": ("down", "up", 0.25),
    "mouth/mouth-cupidsbow": (_D, _I, 0.3),
    "mouth/mouth-cupidsbow-width": (_D, _I, 0.3),
    "mouth/mouth-dimples": ("in", "out", 0.25),
    "mouth/mouth-laugh-lines": ("in", "out", 0.25),
    "mouth/mouth-lowerlip-height": (_D, _I, 0.3),
    "mouth/mouth-lowerlip-volume": (_D, _I, 0.3),
    "mouth/mouth-lowerlip-width": (_D, _I, 0.3),
    "mouth/mouth-philtrum-volume": (_D, _I, 0.3),
    "mouth/mouth-scale-depth": (_D, _I, 0.2),
    "mouth/mouth-scale-horiz": (_D, _I, 0.25),
    "mouth/mouth-scale-vert": (_D, _I, 0.25),
    "mouth/mouth-trans": ("down", "up", 0.2),
    "mouth/mouth-upperlip-height": (_D, _I, 0.3),
    "mouth/mouth-upperlip-volume": (_D, _I, 0.3),
    "mouth/mouth-upperlip-width": (_D, _I, 0.3),
    "ears/ear-flap": (_D, _I, 0.3),
    "ears/ear-lobe": (_D, _I, 0.3),
    "ears/ear-rot": ("backward", "forward", 0.25),
    "ears/ear-scale": (_D, _I, 0.2),
    "ears/ear-scale-depth": (_D, _I, 0.2),
    "ears/ear-scale-vert": (_D, _I, 0.2),
    "ears/ear-wing": (_D, _I, 0.3),
    "chin/chin-bones": (_D, _I, 0.25),
    "chin/chin-cleft": (_D, _I, 0.25),
    "chin/chin-height": (_D, _I, 0.25),
    "chin/chin-jaw-drop": (_D, _I, 0.25),
    "chin/chin-prognathism": (_D, _I, 0.2),
    "chin/chin-prominent": (_D, _I, 0.25),
    "chin/chin-width": (_D, _I, 0.25),
    "cheek/cheek-bones": (_D, _I, 0.3),
    "cheek/cheek-inner": (_D, _I, 0.3),
    "cheek/cheek-trans": ("down", "up", 0.25),
    "cheek/cheek-volume": (_D, _I, 0.25),
    "neck/neck-double": (_D, _I, 0.25),
    "neck/neck-scale-depth": (_D, _I, 0.2),
    "neck/neck-scale-horiz": (_D, _I, 0.2),
    "neck/neck-scale-vert": (_D, _I, 0.2),
}
"""Paired morph targets: their stem, the ends for less and for more, and the weight's standard
deviation. Those of eyes, ears and cheeks exist for each side."""
