"""Hands and things that come between camera and face: made of simple shapes, lit as the person."""

import math
from itertools import pairwise
from typing import Literal, get_args

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.lighting.light_map import LightMap, to_sh
from vcam_relight.pipeline.lighting.sh import dominant_direction, irradiance
from vcam_relight.pipeline.lightstage.camera.height_field import HeightField, turned
from vcam_relight.pipeline.lightstage.camera.webcam import ForegroundLayer

Kind = Literal["hand", "fist", "mug", "phone", "microphone", "sleeve"]
_TONES = np.array(
    [[0.66, 0.43, 0.33], [0.46, 0.26, 0.17], [0.23, 0.115, 0.066], [0.08, 0.038, 0.023]]
)
"""Linear RGB albedo of skin from pale to dark, one row each."""

# The hand points up, the wrist is at the origin, the palm faces the camera; its length is 1.
_KNUCKLES = np.array([[-0.17, 0.47], [-0.055, 0.50], [0.06, 0.48], [0.165, 0.43]])
_LENGTHS = np.array([0.40, 0.45, 0.42, 0.33])
_THUMB = np.array(
    [[-0.12, 0.12, 0.02], [-0.27, 0.27, 0.06], [-0.34, 0.40, 0.07], [-0.37, 0.52, 0.07]]
)


class Occluder:
    """One thing that hovers, sways or passes in front of a face for one clip."""

    def __init__(
        self, rng: np.random.Generator, kind: Kind | None = None, skin: FloatArray | None = None
    ) -> None:
        """Draws what the thing is and how it moves.

        Args:
            rng: the only source of chance.
            kind: drawn evenly if not given.
            skin: `(3,)` linear RGB albedo of the hands, the person's own; drawn if not given.
        """
        self.kind: Kind = kind or get_args(Kind)[int(rng.integers(len(get_args(Kind))))]
        tone = float(rng.uniform(0, len(_TONES) - 1))
        drawn = [np.interp(tone, range(len(_TONES)), channel) for channel in _TONES.T]
        self._skin = np.asarray(drawn if skin is None else skin, np.float32)
        self._seed = int(rng.integers(2**31))
        self._left = bool(rng.random() < 0.5)
        self._length = float(rng.uniform(0.40, 0.58))
        self._fingers = rng.normal(0, 0.09, 4)
        self._curl = (
            float(rng.uniform(0.75, 1.0)) if self.kind == "fist" else float(rng.uniform(0, 0.5))
        )
        self._paint = _dye(rng, 0.7)
        self._cloth = _dye(rng, 0.4)
        self._sleeved = bool(rng.random() < 0.6)
        side = 1.0 if rng.random() < 0.5 else -1.0
        self._at = np.array([side * rng.uniform(0.0, 0.30), rng.uniform(-0.42, -0.02)])
        self._angle = side * float(rng.uniform(-0.15, 0.9))
        self._pass = np.array([0.0, 0.0])
        if rng.random() < 0.4:  # passes through rather than stays
            self._pass = np.array([-side * rng.uniform(0.008, 0.03), rng.normal(0, 0.006)])
        self._sway = rng.uniform(0.003, 0.025, 3)
        self._pace = rng.uniform(0.05, 0.3, 3)
        self._phase = rng.uniform(0, math.tau, 3)

    def draw(self, index: int, size: tuple[int, int], light: LightMap) -> ForegroundLayer:
        """The thing at that frame.

        Args:
            index: frame of the clip.
            size: height and width; lengths follow the height, for a head that fills about half.
            light: what the person is lit by.
        """
        sway = self._sway * np.sin(self._pace * index + self._phase)
        at = (self._at + sway[:2] + self._pass * index).astype(np.float32)
        angle = self._angle + 4 * float(sway[2])
        painter = _OccluderPainter(size, light, self._seed)
        if self.kind in ("hand", "fist"):
            self._hand(painter, at, angle)
        elif self.kind == "sleeve":
            self._arm(painter, at, 0.4 * angle + (1.45 if angle > 0 else -1.45))
        elif self.kind == "microphone":
            self._microphone(painter, at, angle)
        else:
            self._held(painter, at)
        return ForegroundLayer(painter.linear, painter.alpha)

    def _place(self, points: FloatArray, at: FloatArray, angle: float) -> FloatArray:
        points = np.array(points, np.float32) * np.float32(self._length)
        if self._left:
            points[:, 0] *= -1
        return turned(points, angle) + np.array([at[0], at[1], 0], np.float32)

    def _hand(self, painter: "_OccluderPainter", wrist: FloatArray, angle: float) -> None:
        unit = self._length
        field = painter.field()
        ends = self._place(np.array([[0, 0.1, 0], [0.02, -1.6, -0.1]]), wrist, angle)
        field.capsule(ends[0], ends[1], 0.12 * unit, 0.19 * unit, 0.08 * unit)
        for finger in range(4):
            knuckle = np.array([*_KNUCKLES[finger], 0.02])
            base = np.array([_KNUCKLES[finger, 0] * 0.6, 0.08, 0.0])
            a, b = self._place(np.stack([base, knuckle]), wrist, angle)
            field.capsule(a, b, 0.10 * unit, 0.085 * unit, 0.07 * unit)
        nails: list[FloatArray] = []
        for finger in range(4):
            joints = self._place(self._joints(finger), wrist, angle)
            for k in range(3):
                thick = np.array([0.068, 0.060, 0.055, 0.047]) * unit * (0.9 if finger == 3 else 1)
                field.capsule(joints[k], joints[k + 1], thick[k], thick[k + 1], 0.02 * unit)
            nails.append(joints[3])
        thumb = self._place(_THUMB, wrist, angle)
        for k, radius in enumerate((0.10, 0.075, 0.065)):
            field.capsule(
                thumb[k], thumb[k + 1], radius * unit, (radius - 0.01) * unit, 0.035 * unit
            )
        tips = np.zeros(field.z.shape, np.float32)
        for tip in [*nails, thumb[3]]:
            tips += np.exp(-((field.x - tip[0]) ** 2 + (field.y[:, None] - tip[1]) ** 2)
                           / np.float32(2 * (0.05 * unit) ** 2))  # fmt: skip
        painter.paint(field, painter.flesh(self._skin, tips), 0.10, 0.06 * unit)
        if self._sleeved:
            self._cuff(painter, wrist, angle)

    def _joints(self, finger: int) -> FloatArray:
        """`(4, 3)` of one finger: bent forwards, its projection gets shorter."""
        curl = min(max(self._curl + float(self._fingers[finger]), 0.0), 1.0)
        spread = (finger - 1.5) * -0.11 * (1 - curl) + float(self._fingers[finger]) * 0.4
        joints = [np.array([*_KNUCKLES[finger], 0.03])]
        bend = 0.0
        for share, most in ((0.45, 1.5), (0.31, 1.7), (0.24, 1.0)):
            bend += curl * most
            step = _LENGTHS[finger] * share
            ahead = step * math.cos(bend)
            joints.append(
                joints[-1]
                + [-math.sin(spread) * ahead, math.cos(spread) * ahead, 0.6 * step * math.sin(bend)]
            )
        return np.stack(joints).astype(np.float32)

    def _cuff(self, painter: "_OccluderPainter", wrist: FloatArray, angle: float) -> None:
        field = painter.field()
        a, b = self._place(np.array([[0.0, -0.25, 0], [0.02, -1.7, -0.1]]), wrist, angle)
        field.capsule(a, b, 0.19 * self._length, 0.30 * self._length, 0.02 * self._length)
        painter.paint(field, painter.cloth(self._cloth), 0.0, 0.05 * self._length)

    def _arm(self, painter: "_OccluderPainter", at: FloatArray, angle: float) -> None:
        """A sleeve across the lower face, as when somebody rubs nose or eyes."""
        field = painter.field()
        points = np.array([[-0.2, 3.0, 0], [0, 0.1, 0.1], [0.2, -3.0, 0]])
        a, b, c = self._place(points, at, angle)
        field.capsule(a, b, 0.22 * self._length, 0.26 * self._length, 0.1 * self._length)
        field.capsule(b, c, 0.26 * self._length, 0.34 * self._length, 0.1 * self._length)
        painter.paint(field, painter.cloth(self._cloth), 0.0, 0.08 * self._length)

    def _microphone(self, painter: "_OccluderPainter", at: FloatArray, angle: float) -> None:
        unit = self._length
        body = painter.field()
        points = self._place(
            np.array([[0, 0.1, 0], [0.1, -0.75, -0.05], [0.9, -1.8, -0.2]]), at, angle
        )
        body.capsule(points[0], points[1], 0.11 * unit, 0.085 * unit, 0.01)
        body.capsule(points[1], points[2], 0.03 * unit, 0.03 * unit, 0.01)
        painter.paint(body, np.full(3, 0.03, np.float32), 0.6, 0.05 * unit)
        ball = painter.field()
        ball.capsule(points[0], points[0], 0.17 * unit, 0.17 * unit, 0.01)
        painter.paint(ball, painter.grille(self._paint * 0.25), 0.15, 0.05 * unit)

    def _held(self, painter: "_OccluderPainter", at: FloatArray) -> None:
        """A mug or a phone, upright, with fingers around it from one side."""
        unit, mug = self._length, self.kind == "mug"
        wide, high = (0.46 * unit, 0.52 * unit) if mug else (0.40 * unit, 0.82 * unit)
        thing = painter.field()
        side = -1.0 if self._left else 1.0
        centre = np.array([at[0], at[1] + 0.15, 0], np.float32)
        if mug:
            turn = np.linspace(-1.3, 1.3, 8)
            x, y = np.cos(turn) * 0.20 * unit, np.sin(turn) * 0.17 * unit
            arc = centre + np.stack([-side * (wide / 2 + x - 0.02 * unit), y, 0 * x], -1)
            for a, b in pairwise(arc.astype(np.float32)):
                thing.capsule(a, b, 0.035 * unit, 0.035 * unit, 0.001)
        thing.drum(centre, wide, high, 0.0 if mug else 1.0, (0.03 if mug else 0.055) * unit)
        paint = np.broadcast_to(self._paint, (*thing.z.shape, 3)).copy()
        if not mug:  # the camera island
            x, y = centre[0] + side * wide * 0.25, centre[1] + high * 0.33
            for k in range(2):
                spot = np.hypot(thing.x - x, thing.y[:, None] - (y - k * 0.13 * unit))
                paint[spot < 0.05 * unit] = 0.015
        painter.paint(thing, paint, 0.5, 0.05 * unit)
        fingers = painter.field()
        for k in range(4):
            y = centre[1] + (0.16 - k * 0.115) * unit
            start = np.array(
                [centre[0] + side * (wide / 2 + 0.12 * unit), y, wide / 2 - 0.05], np.float32
            )
            bent = np.array(
                [centre[0] + side * wide * 0.42, y + 0.02 * unit, wide / 2 + 0.04], np.float32
            )
            tip = np.array(
                [
                    centre[0] + side * wide * (0.08 + 0.3 * float(self._fingers[k])),
                    y,
                    wide / 2 + 0.03,
                ],
                np.float32,
            )
            fingers.capsule(start, bent, 0.075 * unit, 0.066 * unit, 0.03 * unit)
            fingers.capsule(bent, tip, 0.066 * unit, 0.05 * unit, 0.012 * unit)
        away = side * (wide / 2 + 0.17 * unit)
        palm = centre + np.array([away, 0.05 * unit, wide / 2 - 0.08], np.float32)
        heel = centre + np.array([away * 1.05, -0.25 * unit, wide / 2 - 0.08], np.float32)
        elbow = centre + np.array([away * 1.9, -1.7 * unit, 0], np.float32)
        fingers.capsule(palm, heel, 0.13 * unit, 0.13 * unit, 0.05 * unit)
        fingers.capsule(heel, elbow, 0.13 * unit, 0.2 * unit, 0.06 * unit)
        none = np.zeros(fingers.z.shape, np.float32)
        painter.paint(fingers, painter.flesh(self._skin, none), 0.10, 0.05 * unit)


def _dye(rng: np.random.Generator, most: float) -> FloatArray:
    """An albedo up to `most`, grey more often than vivid."""
    saturation = float(rng.beta(1, 2.2))
    vivid = rng.random(3)
    colour = (1 - saturation) + saturation * vivid / vivid.max()
    return np.asarray(colour * (0.02 + (most - 0.02) * rng.random() ** 1.5), np.float32)


class _OccluderPainter:
    """Lights reliefs and lays them over one another."""

    def __init__(self, size: tuple[int, int], light: LightMap, seed: int) -> None:
        self._size = size
        self._sh = to_sh(light)
        towards = dominant_direction(self._sh) + np.array([0, 0, 1], np.float32)
        self._half = towards / max(float(np.linalg.norm(towards)), 1e-3)
        self._rng = np.random.default_rng(seed)  # the same texture in every frame
        self.linear: FloatArray = np.zeros((*size, 3), np.float32)
        self.alpha: Map = np.zeros(size, np.float32)

    def field(self) -> HeightField:
        return HeightField(*self._size)

    def paint(self, field: HeightField, albedo: FloatArray, gloss: float, crease: float) -> None:
        """Draws a height field over what is there.

        Args:
            field: the shapes.
            albedo: linear RGB, `(3,)` or `(H, W, 3)`.
            gloss: scale of the highlight.
            crease: width of the hollows that light hardly reaches, in image heights.
        """
        window = field.window()
        normals = field.normals(window)
        if not normals.size:  # outside the image
            return
        if albedo.ndim == 3:
            albedo = albedo[window]
        received = irradiance(self._sh, normals) / np.float32(math.pi)
        floor = 0.12 * np.float32(self._sh[0].mean() * 0.282)
        shaded = albedo * np.maximum(received, floor)
        shaded *= field.openness(crease, window)[..., None]
        highlight = np.maximum(normals @ self._half, 0) ** 40
        shaded = shaded + np.float32(gloss * 0.5) * highlight[..., None] * received.max()
        cover = field.cover[window]
        colour, alpha = self.linear[window], self.alpha[window]
        colour += cover[..., None] * (shaded.astype(np.float32) - colour)
        alpha += cover * (1 - alpha)

    def flesh(self, skin: FloatArray, tips: Map) -> FloatArray:
        """`(H, W, 3)` albedo of a hand: blotchy, fingertips redder."""
        blotches = self._smooth(0.03) * 0.08 + self._smooth(0.006) * 0.05
        red = np.clip(tips, 0, 1) * 0.12 + self._smooth(0.05) * 0.04
        tint = np.stack([blotches + red * 0.5, blotches - red, blotches - red * 0.8], -1)
        result: FloatArray = skin * np.exp(tint)
        return result

    def cloth(self, colour: FloatArray) -> FloatArray:
        """`(H, W, 3)` albedo with a weave and folds."""
        return np.asarray(
            colour * np.exp(self._smooth(0.07) * 0.10 + self._smooth(0.003) * 0.12)[..., None],
            np.float32,
        )

    def grille(self, colour: FloatArray) -> FloatArray:
        """`(H, W, 3)` albedo of a wire mesh or foam."""
        return np.asarray(colour * np.exp(self._smooth(0.004) * 0.5)[..., None], np.float32)

    def _smooth(self, scale: float) -> Map:
        """`(H, W)` noise of variance about 1 with features of `scale` image heights."""
        cell = scale * self._size[0]
        rows, columns = (max(4, round(side / cell)) for side in self._size)
        coarse = self._rng.standard_normal((rows, columns), np.float32)
        return np.asarray(cv2.resize(coarse, self._size[::-1], interpolation=cv2.INTER_CUBIC))
