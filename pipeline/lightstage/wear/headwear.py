"""Head coverings and headphones, fitted to a neutral head.

All but the headphones are radial shells around the head: a radius for every direction from a centre
between the ears, a little outside of what lies within.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter

from vcam_relight.pipeline.lightstage.core.scene import Label, Material, Texture
from vcam_relight.pipeline.lightstage.core.solids import (
    Reals,
    Solid,
    ellipsoid,
    grid_triangles,
    merge,
    sweep,
    unit,
)
from vcam_relight.pipeline.lightstage.surface.cloth import Pattern, cloth, cloth_colour, encode
from vcam_relight.pipeline.lightstage.surface.skin import Colour
from vcam_relight.pipeline.lightstage.wear.accessories import Accessory, HeadShape
from vcam_relight.pipeline.lightstage.wear.radial_shell import EARS, RadialShell, dome

Kind = Literal["beanie", "cap", "turban", "headscarf", "headband", "headphones"]

# Vertices of the base mesh around the face: from the hairline over the left temple, cheek and jaw
# to below the chin, and back.
_AROUND_FACE = (983, 7040, 11707, 7597, 732, 895, 5092, 271)
_COLUMNS = 96


@dataclass(frozen=True, slots=True)
class Headwear:
    """One head covering."""

    seed: int
    kind: Kind
    colour: Colour
    """Linear RGB."""
    second: Colour
    """Of pattern, brim or cushions."""
    pattern: Pattern
    height: float
    """-1..1: how high it sits on the forehead."""

    @property
    def hides_hair(self) -> bool:
        """Whether the person's hair must be left away: it would stick out."""
        return self.kind not in ("headband", "headphones")


def sample_headwear(rng: np.random.Generator, gender: float, age: float) -> Headwear | None:
    """Something on 12 of 100 heads, MakeHuman's own hats not counted.

    gender: 0 woman .. 1 man. age: 0 young .. 1 old.
    """
    if rng.random() >= 0.12:
        return None
    kinds = get_args(Kind)
    woman = gender < 0.5
    # Beanie, cap, turban, headscarf, headband, headphones.
    chances = np.array([0.2, 0.2, 0.05 if woman else 0.22, 0.36 if woman else 0.0,
                        0.09 if woman else 0.04, 0.2 * (1.2 - 0.6 * age)])  # fmt: skip
    kind = kinds[int(rng.choice(len(kinds), p=chances / chances.sum()))]
    patterns = get_args(Pattern)
    plain = 1.0 if kind == "headphones" else 0.62
    pattern = patterns[0] if rng.random() < plain else patterns[int(rng.integers(1, 4))]
    return Headwear(
        seed=int(rng.integers(2**31)),
        kind=kind,
        colour=cloth_colour(rng),
        second=cloth_colour(rng),
        pattern=pattern,
        height=float(rng.uniform(-1, 1)),
    )


def make(headwear: Headwear, head: HeadShape, hair: Reals | None = None) -> tuple[Accessory, ...]:
    """The meshes of a head covering.

    hair: (V, 3) vertices in dm of hair that stays under a headband or headphones.
    """
    rng = np.random.default_rng(headwear.seed)
    if headwear.kind == "headphones":
        return _headphones(headwear, head, hair)
    scarf = headwear.kind == "headscarf"
    shell = RadialShell(head, hair if not headwear.hides_hair else None, ears=scarf)
    build = {
        "beanie": _beanie,
        "cap": _cap,
        "turban": _turban,
        "headscarf": _headscarf,
        "headband": _headband,
    }[headwear.kind]
    solid = build(headwear, shell, rng)
    texture = cloth(
        headwear.colour,
        headwear.second,
        headwear.pattern,
        headwear.kind == "beanie",
        rng,
    )
    parts = [_accessory(headwear, headwear.kind, solid, texture, rigid=not scarf)]
    if headwear.kind == "cap":
        colour = np.broadcast_to(np.asarray(headwear.second, np.float32), (8, 8, 3))
        parts.append(_accessory(headwear, "brim", _brim(headwear, shell), encode(colour), True))
    return tuple(parts)


def _grid_solid(points: Reals) -> Solid:
    """A sheet through a grid of points (rows, columns, 3)."""
    rows, columns = points.shape[:2]
    u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(1, 0, rows))
    uvs = np.stack([u, v], axis=-1)
    return Solid(
        points.reshape(-1, 3).astype(np.float32),
        grid_triangles(rows, columns),
        uvs.reshape(-1, 2).astype(np.float32),
    )


def _with_hem(points: Reals, directions: Reals, depth: float) -> Reals:
    """The last row turned inwards, to the skin."""
    turned = points[-1] - directions[-1] * depth
    middle = (points[-1] + turned) / 2
    return np.concatenate([points, middle[None], turned[None]])


def _rim(front: float, side: float, back: float, columns: int = _COLUMNS) -> Reals:
    """Heights (columns,) of a rim above the eyes that sinks from front over the sides to back."""
    azimuth = np.linspace(0, 2 * np.pi, columns)
    curve = CubicSpline(
        np.array([0, 0.5, 1, 1.5, 2]) * np.pi, [front, side, back, side, front],
        bc_type="periodic",
    )  # fmt: skip
    result: Reals = curve(azimuth)
    return result


def _beanie(headwear: Headwear, shell: RadialShell, rng: np.random.Generator) -> Solid:
    rows = 36
    rim = _rim(0.46 + 0.10 * headwear.height, 0.17, -0.36)
    t = np.linspace(0, 1, rows)[:, None]
    azimuth = np.linspace(0, 2 * np.pi, _COLUMNS)[None]
    cuff = 1 / (1 + np.exp(-(t - 0.74) / 0.008))
    slack = gaussian_filter(rng.standard_normal((rows, _COLUMNS)), (4, 5), mode=("nearest", "wrap"))
    slack *= np.clip(4 * t, 0, 1)
    ribs = 0.006 * np.cos(azimuth * 32) * np.clip(6 * t, 0, 1)
    top = np.cos(np.pi / 2 * np.clip(t / 0.55, 0, 1)) ** 2 * rng.uniform(0.02, 0.16)
    thickness = 0.045 + 0.03 * cuff + 0.16 * slack * (1 - cuff) + top + ribs
    points, directions = dome(shell, rim, rows, np.maximum(thickness, 0.03))
    return _grid_solid(_with_hem(points, directions, 0.09))


def _cap(headwear: Headwear, shell: RadialShell, rng: np.random.Generator) -> Solid:
    rows = 30
    t = np.linspace(0, 1, rows)[:, None]
    azimuth = np.linspace(0, 2 * np.pi, _COLUMNS)[None]
    # Six panels with seams between them, stiff in front.
    seams = -0.008 * np.exp(-((np.sin(3 * azimuth) / 0.12) ** 2)) * np.clip(8 * t, 0, 1)
    stiff = 0.09 * np.clip(np.cos(azimuth), 0, 1) ** 2 * np.sin(np.pi * np.clip(t, 0, 1)) ** 1.2
    points, directions = dome(shell, _cap_rim(headwear), rows, 0.04 + seams + stiff)
    button = ellipsoid(points[0, 0], np.array([[0.05, 0, 0], [0, 0, -0.05], [0, 0.03, 0]]), 6)
    return merge([_grid_solid(_with_hem(points, directions, 0.06)), button])


def _cap_rim(headwear: Headwear) -> Reals:
    return _rim(0.50 + 0.08 * headwear.height, 0.20, -0.08)


def _brim(headwear: Headwear, shell: RadialShell) -> Solid:
    """The visor: out of the rim's front, curved down at the sides."""
    points, _ = dome(shell, _cap_rim(headwear), 8, 0.035)
    rim = points[-1, :-1]
    angles = np.linspace(-0.95, 0.95, 33)
    full = np.linspace(0, 2 * np.pi, _COLUMNS)[:-1]
    inner = np.stack(
        [
            np.interp(angles % (2 * np.pi), full, rim[:, axis], period=2 * np.pi)
            for axis in range(3)
        ],
        axis=1,
    )
    t = np.linspace(0, 1, 10)[:, None, None]
    side = (angles / 0.95)[None, :, None]
    reach = 0.72 * np.sqrt(np.clip(1 - side**2, 0, 1)) ** 0.8
    outwards = np.concatenate(
        np.broadcast_arrays(0.22 * side, -0.12 - 0.10 * t, np.ones(1)), axis=-1
    )
    upper = inner[None] + outwards * (t * reach)
    upper[..., 1] -= 0.14 * (side**2 * t)[..., 0]
    lower = upper - np.array([0, 0.022, 0])
    sheet = np.concatenate([upper, lower[::-1]])
    return _grid_solid(np.ascontiguousarray(sheet))


def _turban(headwear: Headwear, shell: RadialShell, rng: np.random.Generator) -> Solid:
    rows, columns = 54, 144
    rim = _rim(0.50 + 0.08 * headwear.height, 0.15, -0.34, columns)
    azimuth = np.linspace(0, 2 * np.pi, columns)[None]
    # The layers meet in a point above the forehead.
    rim = rim + 0.12 * np.exp(-((np.sin(azimuth[0] / 2) / 0.16) ** 2))
    t = np.linspace(0, 1, rows)[:, None]
    around = np.sin(azimuth / 2)
    wraps = rng.uniform(6.0, 7.5) * (t - 0.22 * (1 - around) * np.sin(np.pi * t)) + 0.6 * around
    saw = (wraps - np.floor(wraps)) ** 0.7
    ripple = gaussian_filter(
        rng.standard_normal((rows, columns)), (1.0, 7), mode=("nearest", "wrap")
    )
    body = 0.24 * np.sin(np.pi * np.clip(0.12 + 0.80 * t, 0, 1)) ** 0.8
    thickness = 0.05 + body + 0.085 * gaussian_filter(saw, (0.5, 0), mode="nearest") + 0.09 * ripple
    points, directions = dome(shell, rim, rows, np.maximum(thickness, 0.035))
    return _grid_solid(_with_hem(points, directions, 0.14))


def _headband(headwear: Headwear, shell: RadialShell, rng: np.random.Generator) -> Solid:
    lower = _rim(0.50 + 0.12 * headwear.height, 0.16, -0.16)
    width = rng.uniform(0.22, 0.42)
    rows = []
    for share, thick in ((1.0, 0.0), (1.0, 0.03), (0.75, 0.045), (0.5, 0.048), (0.25, 0.045),
                         (0.0, 0.03), (0.0, 0.0)):  # fmt: skip
        points, _ = dome(shell, lower + width * share, 10, thick + 0.004)
        rows.append(points[-1, :-1])
    # Elastic: it spans the hollows between locks.
    band = gaussian_filter(np.stack(rows), (0, 2, 0), mode="wrap")
    return _grid_solid(np.concatenate([band, band[:, :1]], axis=1))


def _headscarf(headwear: Headwear, shell: RadialShell, rng: np.random.Generator) -> Solid:
    """A scarf around the face, over hair, ears and neck, onto the shoulders."""
    rows, columns = 64, 128
    around = shell.head.positions[list(_AROUND_FACE)].astype(float)
    around[0, 1] -= 0.10 + 0.06 * headwear.height
    around[4] += (0.0, -0.02, -0.10)
    ring = around - shell.centre
    # Angles about the forward axis, from the top over the person's left.
    turn = np.unwrap(np.arctan2(ring[:, 0], ring[:, 1]))
    polar = np.arctan2(np.hypot(ring[:, 0], ring[:, 1]), ring[:, 2])
    edge = np.column_stack([polar, np.linalg.norm(ring, axis=1)])
    spline = CubicSpline(np.r_[turn, turn[0] + 2 * np.pi], np.r_[edge, edge[:1]],
                         bc_type="periodic")  # fmt: skip
    phi = np.linspace(0, 2 * np.pi, columns)[None]
    t = np.linspace(0, 1, rows)[:, None]
    start, skin = np.moveaxis(spline(phi), -1, 0)
    theta = start + (np.pi - start) * t**1.15
    directions = np.stack(
        [np.sin(phi) * np.sin(theta), np.cos(phi) * np.sin(theta), np.cos(theta) + 0 * phi],
        axis=-1,
    )
    down = np.clip(-np.cos(phi), 0, 1)
    noise = gaussian_filter(
        rng.standard_normal((rows, columns)), (9, 2.2), mode=("nearest", "wrap")
    )
    calm = np.clip(6 * t, 0, 1) * np.clip(4 * (1 - t), 0, 1)
    folds = noise / noise.std() * 0.02 * calm * (0.35 + 0.65 * down)
    swing = 0.03 * np.sin(7 * theta + 3 * np.sin(phi) + rng.uniform(0, 6)) * down * calm
    bun = 0.16 * np.exp(-(((directions - unit(np.array([0, 0.35, -1.0]))) ** 2).sum(-1)) / 0.35)
    thickness = np.maximum(0.06 + folds + swing + bun, 0.035)
    points = shell.at(directions, thickness, evenness=3.0)
    points[:, -1] = points[:, 0]
    # The edge is turned in until it meets the skin: nobody looks between the two.
    depth = np.maximum(np.linalg.norm(points[0] - shell.centre, axis=1) - skin[0] + 0.03, 0.07)
    tucked = points[0] - directions[0] * depth[:, None]
    points = np.concatenate([tucked[None], (tucked + points[0])[None] / 2, points])
    # Columns run clockwise about the forward axis: turned, so that the outside is outside.
    return _grid_solid(np.ascontiguousarray(points[:, ::-1]))


def _headphones(headwear: Headwear, head: HeadShape, hair: Reals | None) -> tuple[Accessory, ...]:
    shell = RadialShell(head, hair, ears=False)
    roots = head.positions[list(EARS)]
    cups, cushions = [], []
    ends = []
    for root, side in zip(roots, (1.0, -1.0), strict=True):
        ear = root + np.array([0.0, -0.27, -0.03])
        outer = _outermost(head, ear, side)
        cushion = np.array([side * (outer + 0.015), ear[1], ear[2]])
        cushions.append(
            ellipsoid(cushion, np.array([[0, 0.40, 0], [0, 0, 0.33], [0.13, 0, 0]]), 14)
        )
        cup = cushion + np.array([side * 0.09, 0.0, 0.0])
        cups.append(ellipsoid(cup, np.array([[0, 0.34, 0], [0, 0, 0.28], [0.12, 0, 0]]), 14))
        ends.append(cup)
    angle = np.linspace(-np.pi / 2, np.pi / 2, 33)
    directions = np.stack([np.sin(angle), np.cos(angle), np.full(33, -0.06)], axis=1)
    radius = shell.radius(unit(directions)) + 0.06
    arc = shell.centre + unit(directions) * gaussian_filter(radius, 1.5)[:, None]
    reach = np.array([abs(ends[1][0]), abs(ends[0][0])]) + 0.02
    low = np.array([ends[1], ends[0]])
    keep = arc[:, 1] > shell.eye_y + 0.28
    arms = [np.array([side * r, end[1], end[2]]) for side, r, end in zip((-1.0, 1.0), reach, low,
                                                                         strict=True)]  # fmt: skip
    path = np.concatenate([arms[0][None], arc[keep], arms[1][None]])
    spline = CubicSpline(np.linspace(0, 1, len(path)), path)
    path = spline(np.linspace(0, 1, 49))
    across = np.array([0.0, 0.0, 1.0])
    band = sweep(path, across, 0.17, 0.06)
    rng = np.random.default_rng(headwear.seed)
    dark = np.array(headwear.colour) * 0.5
    shell_colour = np.broadcast_to(np.asarray(dark, np.float32), (8, 8, 3))
    leather = np.broadcast_to(np.float32(rng.uniform(0.008, 0.03)), (8, 8, 3))
    return (
        _accessory(headwear, "headphones", merge([band, *cups]), encode(shell_colour), True, 0.35),
        _accessory(headwear, "cushions", merge(cushions), encode(leather), True, 0.55),
    )


def _outermost(head: HeadShape, ear: Reals, side: float) -> float:
    """|x| of the ear's outer edge."""
    skin = head.positions[np.unique(head.faces[head.groups == "body"])]
    near = np.linalg.norm(skin[:, 1:] - ear[1:], axis=1) < 0.4
    return float((skin[near & (skin[:, 0] * side > 0), 0] * side).max())


def _accessory(
    headwear: Headwear,
    name: str,
    solid: Solid,
    texture: Texture,
    rigid: bool,
    roughness: float = 0.85,
) -> Accessory:
    return Accessory(
        name,
        Label.HEADWEAR,
        solid.positions,
        solid.triangles,
        solid.uvs,
        texture,
        Material(roughness, 0.035),
        rigid=rigid,
    )
