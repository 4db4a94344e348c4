"""Glasses and sunglasses: parametric frames and lenses, fitted to a neutral head."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from vcam_relight.pipeline.lightstage.core.scene import Label, Material, Texture
from vcam_relight.pipeline.lightstage.core.solids import (
    Reals,
    Solid,
    ellipsoid,
    grid_triangles,
    merge,
    sweep,
)
from vcam_relight.pipeline.lightstage.surface.cloth import encode
from vcam_relight.pipeline.lightstage.surface.skin import Colour
from vcam_relight.pipeline.lightstage.wear.accessories import Accessory, HeadShape
from vcam_relight.pipeline.lightstage.wear.radial_shell import EARS

Outline = Literal["round", "oval", "rectangular", "panto", "browline", "aviator", "cat_eye"]
Rim = Literal["metal", "acetate", "none"]

# Half width, half height in dm, and the exponent of the superellipse.
_OUTLINES: dict[Outline, tuple[float, float, float]] = {
    "round": (0.235, 0.225, 2.0),
    "oval": (0.260, 0.180, 2.3),
    "rectangular": (0.270, 0.170, 4.5),
    "panto": (0.245, 0.215, 2.6),
    "browline": (0.260, 0.195, 3.0),
    "aviator": (0.280, 0.235, 2.7),
    "cat_eye": (0.265, 0.190, 2.8),
}
# Distances in dm: lens to eyeball centre at least, frame to skin, and half the bridge.
_VERTEX_DISTANCE, _GAP, _HALF_BRIDGE = 0.245, 0.025, 0.088
# Curvature of the front around the head (1/dm), and its tilt (the lower rim is nearer).
_WRAP, _TILT = 0.11, 0.11
_STEPS = 48
# Between the dark spots of tortoiseshell.
_AMBER: Colour = (0.12, 0.05, 0.015)

_Front = Callable[[Reals], Reals]
"""From points (N, 2) of the front's plane to space (N, 3)."""


@dataclass(frozen=True, slots=True)
class Glasses:
    """One pair of glasses."""

    seed: int
    outline: Outline
    rim: Rim
    size: float
    """Factor on the lenses' size."""
    thickness: float
    """Width of the rim in dm seen from the front."""
    colour: Colour
    """Linear RGB of the frame."""
    tortoise: float
    """0..1: mottling of an acetate frame."""
    tint: Colour | None
    """Linear RGB of the light that tinted lenses reflect from within; None for clear ones."""
    density: float
    """0..1: share of light that tinted lenses absorb."""
    gradient: float
    """0..1: how much clearer tinted lenses get towards their lower rim."""
    coating: float
    """Reflectance of the lenses at normal incidence: 0.008 anti-reflective .. 0.04 bare."""


def sample_glasses(rng: np.random.Generator, gender: float, age: float) -> Glasses | None:
    """Glasses for 30 of 100 people (more often the old), 5 of them tinted.

    gender: 0 woman .. 1 man. age: 0 young .. 1 old.
    """
    if rng.random() >= 0.22 + 0.16 * age:
        return None
    outlines = get_args(Outline)
    chances = np.array([0.14, 0.15, 0.24, 0.20, 0.08, 0.09, 0.10 if gender < 0.5 else 0.0])
    outline = outlines[int(rng.choice(len(outlines), p=chances / chances.sum()))]
    rims = get_args(Rim)
    rim: Rim = "acetate"
    if outline == "aviator":
        rim = "metal"
    elif outline not in ("browline", "cat_eye"):
        rim = rims[int(rng.choice(3, p=(0.40, 0.48, 0.12)))]
    tinted = rng.random() < 1 / 6
    metals: tuple[Colour, ...] = (
        (0.55, 0.52, 0.48),
        (0.60, 0.42, 0.18),
        (0.55, 0.32, 0.22),
        (0.05, 0.05, 0.05),
    )
    acetates: tuple[Colour, ...] = (
        (0.006, 0.006, 0.006),
        (0.045, 0.016, 0.007),
        _AMBER,
        (0.012, 0.016, 0.04),
        (0.10, 0.008, 0.012),
        (0.35, 0.30, 0.25),
    )
    shades = ((0.006, 0.006, 0.007), (0.022, 0.011, 0.005), (0.008, 0.016, 0.010),
              (0.03, 0.018, 0.03))  # fmt: skip
    mottled = rim == "acetate" and rng.random() < 0.3
    colours = acetates if rim == "acetate" else metals
    if mottled:
        colours = (_AMBER,)
    thickness = rng.uniform(0.030, 0.062) if rim == "acetate" else rng.uniform(0.011, 0.017)
    return Glasses(
        seed=int(rng.integers(2**31)),
        outline=outline,
        rim=rim,
        size=float(rng.uniform(0.92, 1.08) * (1.06 if tinted else 1.0)),
        thickness=float(thickness),
        colour=colours[int(rng.integers(len(colours)))],
        tortoise=float(rng.uniform(0.6, 1.0)) if mottled else 0.0,
        tint=shades[int(rng.integers(len(shades)))] if tinted else None,
        density=float(rng.choice([rng.uniform(0.3, 0.6), rng.uniform(0.75, 0.95)])),
        gradient=float(rng.uniform(0.3, 0.9)) if rng.random() < 0.4 else 0.0,
        coating=float(rng.choice([0.008, 0.012, 0.04])),
    )


def make(glasses: Glasses, head: HeadShape) -> tuple[Accessory, ...]:
    """The frame and the lenses on a head: opaque frame, tint if any, clear coat."""
    face = _Face(head)
    left = _outline(glasses)
    centre = np.array(
        [_HALF_BRIDGE + np.abs(left[:, 0].min()) + glasses.thickness / 2, face.eye_y - 0.035]
    )
    outer = left + centre
    shift = _distance(face, outer, glasses)

    def front(plane: Reals) -> Reals:
        """Points (N, 2) of the front's plane to space (N, 3)."""
        depth = shift - _WRAP * plane[:, 0] ** 2 + _TILT * (plane[:, 1] - centre[1])
        points: Reals = np.column_stack([plane + np.array([face.middle, 0.0]), depth])
        return points

    frame = [*_bridge(glasses, outer, front), *_temples(glasses, face, outer, front)]
    lenses = []
    for side in (1.0, -1.0):
        mirrored = outer * (side, 1.0)
        if glasses.rim != "none":
            frame.append(_rim(glasses, front(mirrored), mirrored - centre * (side, 1.0)))
        lenses.append(_lens(mirrored, centre * (side, 1.0), front, side))
    metal = glasses.rim != "acetate"
    material = Material(0.3, 0.35) if metal else Material(0.22, 0.045)
    lens = merge(lenses)
    parts = [_accessory("frame", merge(frame), _frame_texture(glasses), material)]
    if glasses.tint is not None:
        parts.append(
            _accessory("tint", lens, _tint_texture(glasses), Material(0.6, 0.0), blended=True)
        )
    # The coat lies in front of the tint.
    coat = Solid(lens.positions + np.array([0, 0, 0.004], np.float32), lens.triangles, lens.uvs)
    clear = np.full((2, 2, 4), 255, np.uint8)
    parts.append(_accessory("lenses", coat, clear, Material(0.08, glasses.coating), coat=True))
    return tuple(parts)


class _Face:
    """The skin around the eyes as height maps that a frame can be kept clear of."""

    def __init__(self, head: HeadShape) -> None:
        skin = head.faces[head.groups == "body"]
        self.eyes = head.eyes
        self.eye_y = float(head.eyes[:, 1].mean())
        self.middle = float(head.eyes[:, 0].mean())
        corners = head.positions[skin]
        near = np.abs(corners[..., 1].mean(1) - self.eye_y) < 1.2
        corners = corners[near]
        grid = [(u, v) for u in (0.0, 0.25, 0.5, 0.75) for v in (0.0, 0.25, 0.5, 0.75)]
        points = np.concatenate(
            [
                (1 - u) * ((1 - v) * corners[:, 0] + v * corners[:, 3])
                + u * ((1 - v) * corners[:, 1] + v * corners[:, 2])
                for u, v in grid
            ]
        )
        self.roots = head.positions[list(EARS)]
        self._front = points[points[:, 2] > self.eyes[:, 2].mean() - 0.5]
        self._front_tree = cKDTree(self._front[:, :2] - (self.middle, 0))
        ears = self.roots[:, 2].mean()
        self._sides = []
        for sign in (1.0, -1.0):
            # In front of the ears only: behind, a temple lies between ear and head.
            side = points[(points[:, 0] * sign > 0.2) & (points[:, 2] > ears + 0.08)]
            self._sides.append((side, cKDTree(side[:, 1:])))

    def depth(self, plane: Reals) -> Reals:
        """Foremost skin (N,) near points (N, 2) of the front; -inf where there is none."""
        result: Reals = np.array(
            [
                self._front[near, 2].max() if near else -np.inf
                for near in self._front_tree.query_ball_point(plane, 0.035)
            ]
        )
        return result

    def half_width(self, place: Reals, sign: float) -> Reals:
        """Outermost |x| (N,) of the head's side near points (N, 2) in (y, z); 0 where none is."""
        side, tree = self._sides[0 if sign > 0 else 1]
        result: Reals = np.array(
            [
                np.abs(side[near, 0]).max() if near else 0.0
                for near in tree.query_ball_point(place, 0.05)
            ]
        )
        return result


def _outline(glasses: Glasses) -> Reals:
    """The left lens's edge (N, 2) about its centre, x away from the nose, counter-clockwise."""
    a, b, power = _OUTLINES[glasses.outline]
    t = np.arange(_STEPS) / _STEPS * 2 * np.pi
    radius = (np.abs(np.cos(t)) ** power + np.abs(np.sin(t)) ** power) ** (-1 / power)
    x, y = radius * np.cos(t), radius * np.sin(t)
    if glasses.outline == "aviator":
        # A drop that hangs outwards.
        y = np.where(y > 0, 0.72 * y, 1.12 * y)
        x = x + 0.16 * np.clip(-y, 0, None) - 0.06
        x = x * np.where(y < 0, 1 - 0.22 * y**2, 1.0)
    elif glasses.outline == "cat_eye":
        y = y + 0.28 * np.clip(x, 0, None) ** 2 * np.clip(y, -0.4, None)
        y = y + 0.12 * x
    elif glasses.outline in ("panto", "browline"):
        x = x * (1 + 0.10 * y)
    edge: Reals = np.stack([a * x, b * y], axis=1) * glasses.size
    return edge


def _distance(face: _Face, outer: Reals, glasses: Glasses) -> float:
    """Depth z of the front's plane at the middle, clear of eyes, lashes, brows and cheeks."""
    rim = outer.mean(0) + (outer - outer.mean(0)) * (1 + glasses.thickness)
    inner = outer.mean(0) + (outer - outer.mean(0)) * 0.6
    bridge_y = outer[:, 1].mean() + 0.06
    bridge = np.stack([np.linspace(0, _HALF_BRIDGE, 5), np.full(5, bridge_y)], axis=1)
    points = np.concatenate([rim, inner, bridge])
    both = np.concatenate([points, points * (-1, 1)])
    offset = -_WRAP * both[:, 0] ** 2 + _TILT * (both[:, 1] - outer[:, 1].mean())
    # The section's half depth, see _rim.
    clearance = _GAP + (0.022 if glasses.rim == "acetate" else 0.012)
    needed = float((face.depth(both) - offset).max()) + clearance
    return max(needed, float(face.eyes[:, 2].max()) + _VERTEX_DISTANCE)


def _rim(glasses: Glasses, path: Reals, outwards: Reals) -> Solid:
    width: Reals | float = glasses.thickness
    if glasses.outline == "browline":
        # Thick above, a thin wire below.
        up = outwards[:, 1] / np.abs(outwards[:, 1]).max()
        width = np.where(up > 0.15, glasses.thickness * 1.25, 0.014)
        width = np.convolve(np.r_[width[-2:], width, width[:2]], np.ones(5) / 5, "valid")
    depth = 0.042 if glasses.rim == "acetate" else 0.02
    across = np.column_stack([outwards, np.zeros(len(outwards))])
    return sweep(path, across, width, depth, closed=True)


def _bridge(glasses: Glasses, outer: Reals, front: _Front) -> list[Solid]:
    """The arch over the nose, and for thin frames pads."""
    centre = outer.mean(0)
    heights = [0.07] if glasses.outline != "aviator" else [0.05, 0.145]
    thick = 0.034 if glasses.rim == "acetate" else 0.015
    solids = []
    for rise in heights:
        y = centre[1] + rise * glasses.size
        near = outer[np.argmin(np.hypot(outer[:, 0] - centre[0] + 0.3, outer[:, 1] - y))]
        reach = near[0]
        t = np.linspace(-1, 1, 13)
        plane = np.stack([reach * t, y + 0.022 * (1 - t**2)], axis=1)
        path = front(plane)
        solids.append(sweep(path, np.array([0.0, 1.0, 0.0]), thick, thick))
    if glasses.rim != "acetate":
        for side in (1.0, -1.0):
            at = front(np.array([[side * (_HALF_BRIDGE + 0.005), centre[1] - 0.045]]))[0]
            pad = at - np.array([side * 0.012, 0.0, 0.035])
            wire = np.stack([at + np.array([side * 0.02, 0.03, 0.0]), at, pad])
            solids.append(sweep(wire, np.array([0.0, 1.0, 0.0]), 0.008, 0.008))
            axes = np.array([[0.008, 0, 0.004 * side], [0, 0.03, 0], [-0.008 * side, 0, 0.018]])
            solids.append(ellipsoid(pad, axes, 6))
    return solids


def _temples(glasses: Glasses, face: _Face, outer: Reals, front: _Front) -> list[Solid]:
    """The arms from the hinges over the ears."""
    rise = outer[:, 1].mean() + (0.10 if glasses.outline != "aviator" else 0.08) * glasses.size
    upper = outer[outer[:, 1] > rise - 0.03]
    corner = upper[np.argmax(upper[:, 0])]
    solids = []
    for index, side in enumerate((1.0, -1.0)):
        root = face.roots[index]
        edge = front(np.array([[corner[0] * side, rise]]))[0]
        hinge = edge + np.array([side * 0.045, 0.0, -0.03])
        # Over the ear just behind its root, then down behind it.
        top = root + np.array([side * 0.014, 0.016, -0.055])
        t = np.linspace(0, 1, 17)[:, None]
        arm = hinge + (top - hinge) * t
        arm[:, 1] += 0.02 * np.sin(np.pi * t[:, 0])
        clear = face.half_width(arm[:, 1:], side) + 0.022
        sign = np.where(arm[:, 0] * side < clear, side * clear, arm[:, 0])
        arm[:, 0] = _taut(sign * side) * side
        hook = top + np.array([[0.0, -0.03, -0.08], [-side * 0.02, -0.11, -0.15],
                               [-side * 0.05, -0.22, -0.19]])  # fmt: skip
        path = np.concatenate([edge[None], arm, hook])
        tall = 0.06 if glasses.rim == "acetate" else 0.022
        heights = np.interp(np.arange(len(path)), [0, 2, 10, len(path) - 1], [1.15, 1, 0.6, 0.5])
        thin = 0.022 if glasses.rim == "acetate" else 0.014
        solids.append(sweep(path, np.array([0.0, 1.0, 0.0]), tall * heights, thin))
    return solids


def _taut(values: Reals) -> Reals:
    """The least concave curve (N,) above `values`: an arm bends around the head, not into it."""
    result = values.copy()
    steps = np.arange(len(values))
    for first in range(len(values)):
        for last in range(first + 2, len(values)):
            chord = np.interp(steps[first : last + 1], [first, last], values[[first, last]])
            result[first : last + 1] = np.maximum(result[first : last + 1], chord)
    return result


def _lens(edge: Reals, centre: Reals, front: _Front, side: float) -> Solid:
    """A shell of rings between the lens's centre and its edge, domed forward a little."""
    rings = np.linspace(0.0, 1.0, 5)
    plane = centre + (edge - centre)[None] * rings[:, None, None]
    closed = np.concatenate([plane, plane[:, :1]], axis=1)
    points = front(closed.reshape(-1, 2))
    points[:, 2] += np.repeat(0.012 * (1 - rings**2), closed.shape[1])
    triangles = grid_triangles(*closed.shape[:2])
    if side < 0:
        triangles = triangles[:, ::-1]
    low, high = edge.min(0), edge.max(0)
    uvs = (closed.reshape(-1, 2) - low) / (high - low)
    return Solid(points.astype(np.float32), triangles, uvs.astype(np.float32))


def _frame_texture(glasses: Glasses) -> Texture:
    rng = np.random.default_rng(glasses.seed)
    colour = np.asarray(glasses.colour, np.float32)
    pixels = np.broadcast_to(colour, (64, 64, 3)).copy()
    if glasses.tortoise > 0:
        noise = gaussian_filter(rng.standard_normal((64, 64)), 3.5, mode="wrap")
        dark = np.clip(0.5 + 0.9 * noise / noise.std(), 0, 1)[..., None] * glasses.tortoise
        pixels += (np.array([0.012, 0.006, 0.004]) - pixels) * dark
    return encode(pixels)


def _tint_texture(glasses: Glasses) -> Texture:
    rows = np.linspace(1, 0, 32)[:, None]
    alpha = glasses.density * (1 - glasses.gradient * (1 - rows) ** 1.3)
    pixels = np.broadcast_to(np.asarray(glasses.tint, np.float32), (32, 4, 3))
    return encode(pixels, np.broadcast_to(alpha, (32, 4)))


def _accessory(
    name: str,
    solid: Solid,
    texture: Texture,
    material: Material,
    blended: bool = False,
    coat: bool = False,
) -> Accessory:
    return Accessory(
        name,
        Label.GLASSES,
        solid.positions,
        solid.triangles,
        solid.uvs,
        texture,
        material,
        blended=blended,
        coat=coat,
    )
