"""One animated person under two lightings, with the ground truth of every pixel."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.light_map import LightMap, to_sh
from vcam_relight.pipeline.lightstage.animation.animation import RATE, Animation
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack
from vcam_relight.pipeline.lightstage.camera.framing import (
    PITCH,
    YAW,
    head_centre,
    jittered_camera,
    orbit,
)
from vcam_relight.pipeline.lightstage.clips.transport import ClipTransport
from vcam_relight.pipeline.lightstage.core.scene import PinholeCamera, Posed
from vcam_relight.pipeline.lightstage.core.split import Split
from vcam_relight.pipeline.lightstage.light.light_sampler import SampledLight, sample_light
from vcam_relight.pipeline.lightstage.light.light_shapes import rotate
from vcam_relight.pipeline.lightstage.person.figure import Figure
from vcam_relight.pipeline.lightstage.person.identity import sample_identity
from vcam_relight.pipeline.lightstage.render.rasterizer import Buffers, Rasterizer

Halves = NDArray[np.float16]
"""float16 of the shape that its docstring gives."""

_LARGEST_HALF = 6e4
_PEOPLE = 1_000_000
"""Identity seeds of one stream, before it meets those of the next stream seed."""
_FASTEST_TURN = 90.0
"""Degrees a second by which a turning light moves at most."""


@dataclass(frozen=True, slots=True)
class ClipRecipe:
    """What clips are made of."""

    size: int = 256
    """Pixels of the square images."""
    split: Split = "train"
    """People and environments of the two splits are disjoint."""
    shortest: int = 16
    """Frames of a clip, at least."""
    longest: int = 48
    """And at most."""
    views: int = 1
    """Novel views of each frame."""
    turning: float = 0.25
    """Share of clips whose second lighting turns about the person."""

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise ValueError(f"clips of {self.shortest} to {self.longest} frames make no sense")
        if self.size < 16 or self.views < 0 or not 0 <= self.turning <= 1:
            raise ValueError("size is 16 or more, views 0 or more, turning a share in 0..1")


@dataclass(frozen=True, slots=True)
class RenderedView:
    """All channels of one image, H x W; colours are linear sRGB.

    images = albedo x shading + specular, up to the rounding of half floats.
    """

    camera: PinholeCamera
    images: Halves
    """`(2, H, W, 3)` under the two lightings, premultiplied by alpha."""
    shading: Halves
    """`(2, H, W, 3)` irradiance / pi, not premultiplied."""
    specular: Halves
    """`(2, H, W, 3)` premultiplied."""
    albedo: Halves
    """`(H, W, 3)` premultiplied."""
    normal: Halves
    """`(H, W, 3)` unit vectors in world space, which is the source camera's; 0 where nothing is.
    `camera.rotation` turns them to the camera of a novel view."""
    alpha: Halves
    """`(H, W)` in 0..1."""
    depth: FloatArray
    """`(H, W)` float32 dm along the optical axis; 0 where nothing is."""
    labels: NDArray[np.uint8]
    """`(H, W)` of `scene.Label`."""
    landmarks: FloatArray
    """`(468, 3)` float32: x and y in pixels (the first pixel's middle is at 0.5), depth in dm."""


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """One moment."""

    clip: int
    """Index of its clip in the stream."""
    index: int
    """Its place in the clip."""
    source: RenderedView
    """Through the camera whose axes are the world's."""
    novel: tuple[RenderedView, ...]
    """From yaw -30..30 and pitch -15..15 degrees about the head."""
    flow: Halves
    """`(H, W, 2)` pixels right and down, from the source image to the next frame's; 0 in a clip's
    last frame."""
    flow_valid: NDArray[np.bool_]
    """`(H, W)` whether the same surface is seen in the next frame; nowhere in the last."""
    lights: tuple[LightMap, LightMap]
    """Source and target lighting, `(32, 64, 3)` radiance each."""
    sh: FloatArray
    """`(2, 9, 3)` float32 radiance coefficients of both."""
    head: FloatArray
    """`(4, 4)` float32 rigid transform from the neutral head to the world."""
    landmarks: FloatArray
    """`(468, 3)` float32 world positions, dm."""


@dataclass(frozen=True, slots=True)
class RenderedClip:
    """An animated clip."""

    index: int
    """In the stream; the next one resumes it."""
    frames: tuple[RenderedFrame, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """All that chance decides about one clip; a pure function of seed, split and index."""

    index: int
    identity: int
    """Seed for `sample_identity`."""
    animation: int
    """Seed for `Animation`."""
    frames: int
    lights: tuple[SampledLight, SampledLight]
    turn: float
    """Degrees a second by which the second lighting turns."""
    directions: tuple[tuple[float, float], ...]
    """Yaw and pitch in degrees of each novel view."""
    camera: int
    """Seed of the framing."""

    @classmethod
    def of(cls, pack: AssetPack, recipe: ClipRecipe, seed: int, index: int) -> "ClipPlan":
        """The plan of clip `index`."""
        rng = np.random.default_rng([seed, int(recipe.split == "test"), index])
        animation, camera = (int(s) for s in rng.integers(2**30, size=2))
        lights = tuple(sample_light(rng, pack.hdris, recipe.split) for _ in range(2))
        turns = rng.random() < recipe.turning
        turn = float(rng.choice([-1, 1]) * rng.uniform(15, _FASTEST_TURN)) if turns else 0.0
        angles = rng.uniform((-YAW, -PITCH), (YAW, PITCH), (recipe.views, 2))
        return cls(
            index,
            seed * _PEOPLE + index,  # consecutive, which makes them a balanced crowd
            animation,
            int(rng.integers(recipe.shortest, recipe.longest + 1)),
            (lights[0], lights[1]),
            turn,
            tuple((float(yaw), float(pitch)) for yaw, pitch in angles),
            camera,
        )


def render_clip(
    pack: AssetPack, rasterizer: Rasterizer, plan: ClipPlan, recipe: ClipRecipe
) -> Iterator[RenderedFrame]:
    """Renders the frames of a clip in order; each depends on pack, plan and recipe alone."""
    figure = Figure(pack, sample_identity(plan.identity, recipe.split))
    animation = Animation(plan.animation, plan.frames)
    animated = [animation.pose(index) for index in range(plan.frames)]
    poses = [figure.pose(pose) for pose in animated]
    eyes = np.mean([posed.head[:3, 3] for posed in poses], axis=0)
    camera = jittered_camera(np.random.default_rng(plan.camera), recipe.size, eyes)
    centre = head_centre(np.mean([posed.head for posed in poses], axis=0))
    others = [orbit(camera, centre, *angles) for angles in plan.directions]
    transport = ClipTransport(figure, animated, poses)
    rasterizer.load(figure.parts)
    shown: tuple[RenderedFrame, Buffers] | None = None
    for index, posed in enumerate(poses):
        lights = _lights(plan, index)
        lit = transport.light(index, lights)
        following = poses[index + 1] if index + 1 < plan.frames else None
        buffers = rasterizer.draw(posed, camera, lit, following)
        if shown is not None:
            shown[0].flow_valid[:] = shown[1].flow_valid(buffers)
            yield shown[0]
        novel = [_view(rasterizer.draw(posed, other, lit), other, posed) for other in others]
        frame = RenderedFrame(
            plan.index,
            index,
            _view(buffers, camera, posed),
            tuple(novel),
            _half(np.zeros((*buffers.depth.shape, 2)) if buffers.flow is None else buffers.flow),
            np.zeros(buffers.depth.shape, np.bool_),
            lights,
            np.stack([to_sh(light) for light in lights]),
            posed.head,
            posed.landmarks,
        )
        shown = frame, buffers
    if shown is not None:
        yield shown[0]


def _lights(plan: ClipPlan, index: int) -> tuple[LightMap, LightMap]:
    first, second = (light.radiance for light in plan.lights)
    if plan.turn:
        second = rotate(second, plan.turn * index / RATE)
    return first, second


def _view(buffers: Buffers, camera: PinholeCamera, posed: Posed) -> RenderedView:
    return RenderedView(
        camera,
        _half(buffers.images),
        _half(buffers.shading),
        _half(buffers.specular),
        _half(buffers.albedo),
        _half(buffers.normal),
        _half(buffers.alpha),
        buffers.depth,
        buffers.labels,
        camera.project(posed.landmarks),
    )


def _half(values: NDArray[np.floating]) -> Halves:
    result: Halves = np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
    return result
