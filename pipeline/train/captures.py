"""What the network is trained on: people of the light stage under many lights, kept on disk.

An image is linear in its light, so what a frame looks like under some lights tells how it looks
under any mixture of them. A frame is kept under `LIGHTS` lights, and lit anew in every batch. A
capture is one person: either some poses, or a short animation. Capture `i` follows from the pack,
the seed, the split and `i` alone, so a folder can be filled by several processes, and gone on with
later.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.head.pose import Head, HeadFinder, pose_in_crop
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.light_map import LightMap, to_sh
from vcam_relight.pipeline.lightstage.animation.animation import Animation
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack
from vcam_relight.pipeline.lightstage.camera.backdrop import (
    Photographs,
    sample_backdrop,
    white_level,
)
from vcam_relight.pipeline.lightstage.camera.framing import (
    PITCH,
    YAW,
    head_centre,
    jittered_camera,
    orbit,
)
from vcam_relight.pipeline.lightstage.camera.occluder import Occluder
from vcam_relight.pipeline.lightstage.core.scene import PinholeCamera, Posed
from vcam_relight.pipeline.lightstage.core.split import Split
from vcam_relight.pipeline.lightstage.light.light_sampler import sample_light
from vcam_relight.pipeline.lightstage.person.figure import Figure
from vcam_relight.pipeline.lightstage.person.identity import sample_identity
from vcam_relight.pipeline.lightstage.render.rasterizer import Buffers, Rasterizer
from vcam_relight.pipeline.lightstage.render.transfer import Lit, trace

LIGHTS = 12
"""Of each frame."""
INPUT, TARGET, NOVEL = 256, 128, 64
"""Sides of the input, of the ground truth and of a novel view, in pixels."""
ANIMATION_LENGTH = 3
"""Frames of an animation."""
_POSES, _CAMERAS = 2, 2
"""Poses of a capture, and cameras that see each, under lights of their own."""
_EVERY = 6
"""One capture in so many is an animation."""
_CLIP = 300
"""Frames that poses and animations are taken from."""
_PEOPLE = 1_000_000
"""Identity seeds of one seed, before they meet those of the next."""
_LARGEST_HALF = 6e4
_DARKEST = 1e-2
"""Of what backdrops and things in front are divided by."""
Capture = dict[str, np.ndarray]
"""The arrays that `render` returns."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """A person at one time, before one camera."""

    posed: Posed
    camera: PinholeCamera
    lit: Sequence[Lit]
    lights: Sequence[LightMap]
    following: Posed | None
    """The next frame's pose, of animations."""


def is_animated(index: int) -> bool:
    """Whether capture `index` is an animation, rather than some poses."""
    return index % _EVERY == _EVERY - 1


def render(
    pack: AssetPack,
    rasterizer: Rasterizer,
    seed: int,
    index: int,
    split: Split,
    photographs: Photographs | None,
) -> Capture:
    """Capture `index`.

    Returns:
        Arrays of N frames under K = `LIGHTS` lights, channels first, linear RGB, float16 unless
        said otherwise. At 256 pixels: `images` `(N, K, 3, ...)`, premultiplied, and `alpha`
        `(N, 1, ...)` uint8; `backdrop` `(N, 3, ...)` over what a white surface sends back; `front`
        `(1, 4, ...)` something before a face, over a face's exposure / pi, and its alpha. At 128:
        `shading` `(N, K, 3, ...)` irradiance / pi; `surface` `(N, 7, ...)` albedo, normal and depth
        as `Batch` has them; `flow` `(N, 3, ...)` pixels right and down to the next frame, and 1
        where it holds. At 64: `novel` `(N, 8, ...)` albedo, normal, alpha and depth. Of the lights:
        `radiance` `(N, K, 3, 32, 64)`, and float32 `sh` `(N, K, 9, 3)`. float32: `pose`,
        `novel_pose` `(N, 12)` of heads: rotation, scale, shift.
    """
    rng = np.random.default_rng([seed, index, int(split == "test")])
    figure = Figure(pack, sample_identity(seed * _PEOPLE + index, split))
    rasterizer.load(figure.parts)
    moments = list((_animated if is_animated(index) else _posed)(rng, pack, figure, split))
    rows: list[Capture] = []
    last: Buffers | None = None
    for moment in moments:
        views, row = _drawn(rng, rasterizer, moment)
        row["backdrop"] = _backdrop(rng, moment, photographs)
        row["sh"] = np.stack([to_sh(light) for light in moment.lights])
        row["radiance"] = np.stack([_half(light) for light in moment.lights])
        if last is not None and last.flow is not None:
            rows[-1]["flow"][2] = last.flow_valid(views[0])[::2, ::2]
        rows.append(row)
        last = views[0]
    result = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    result["front"] = _front(rng, moments[-1].lights[0])[None]
    return result


def _posed(
    rng: np.random.Generator, pack: AssetPack, figure: Figure, split: Split
) -> Iterator[_Moment]:
    """Some poses, each before several cameras."""
    animation = Animation(int(rng.integers(2**30)), _CLIP)
    for _ in range(_POSES):
        posed = figure.pose(animation.pose(int(rng.integers(_CLIP))))
        transfer = trace(figure.parts, posed)
        for _ in range(_CAMERAS):
            lights = _lights(rng, pack, split)
            camera = jittered_camera(rng, INPUT, posed.head[:3, 3])
            yield _Moment(posed, camera, transfer.light(posed, lights), lights, None)


def _animated(
    rng: np.random.Generator, pack: AssetPack, figure: Figure, split: Split
) -> Iterator[_Moment]:
    """Consecutive frames before one camera, under the same lights."""
    animation = Animation(int(rng.integers(2**30)), _CLIP)
    start, lights = int(rng.integers(_CLIP - ANIMATION_LENGTH)), _lights(rng, pack, split)
    acted = [figure.pose(animation.pose(start + t)) for t in range(ANIMATION_LENGTH)]
    camera = jittered_camera(rng, INPUT, acted[1].head[:3, 3])
    transfer = trace(figure.parts, acted[1])
    for posed, following in zip(acted, [*acted[1:], None], strict=True):
        yield _Moment(posed, camera, transfer.light(posed, lights), lights, following)


def _lights(rng: np.random.Generator, pack: AssetPack, split: Split) -> list[LightMap]:
    return [sample_light(rng, pack.hdris, split).radiance for _ in range(LIGHTS)]


def _drawn(
    rng: np.random.Generator, rasterizer: Rasterizer, moment: _Moment
) -> tuple[list[Buffers], Capture]:
    """A moment under all its lights, two at a time, and what is kept of it."""
    posed, camera = moment.posed, moment.camera
    novel = orbit(camera, head_centre(posed.head), *rng.uniform((-YAW, -PITCH), (YAW, PITCH)))
    novel = replace(novel, width=NOVEL, height=NOVEL)
    views = [
        rasterizer.draw(posed, camera, moment.lit[k : k + 2], moment.following)
        for k in range(0, LIGHTS, 2)
    ]
    return views, _row(views, rasterizer.draw(posed, novel), posed, camera, novel)


def _backdrop(
    rng: np.random.Generator, moment: _Moment, photographs: Photographs | None
) -> np.ndarray:
    light = moment.lights[int(rng.integers(LIGHTS))]
    backdrop = sample_backdrop(rng, (INPUT, INPUT), light, moment.camera.focal, photographs)
    return _half(backdrop / np.maximum(white_level(light), np.float32(_DARKEST)))


def _front(rng: np.random.Generator, light: LightMap) -> np.ndarray:
    thing = Occluder(rng).draw(0, (INPUT, INPUT), light)
    level = exposure(to_sh(light)) / np.float32(np.pi)
    return _half(np.dstack([thing.linear / np.maximum(level, np.float32(_DARKEST)), thing.alpha]))


def _row(
    views: Sequence[Buffers],
    beside: Buffers,
    posed: Posed,
    camera: PinholeCamera,
    novel: PinholeCamera,
) -> Capture:
    view, finder = views[0], _finder()
    head, per_dm = _find_head(camera.project(posed.landmarks), camera, finder)
    unit = head.scale / per_dm  # of head space, in dm of the world
    origin = np.array([*head.origin[:2], head.origin[2] / per_dm], np.float32)
    novel_pose, deep = _seen_by(novel, camera, origin, head.rotation, unit)
    flow = np.zeros((TARGET, TARGET, 3), np.float32)
    if view.flow is not None:
        flow[..., :2] = _area(view.flow, TARGET) * (TARGET / INPUT)
    own = _surface(view, TARGET, float(origin[2]), unit)
    there = _surface(beside, NOVEL, deep, unit)
    there[..., 3:6] = there[..., 3:6] @ novel.rotation.T
    alpha = _area(beside.alpha, NOVEL)[..., None]
    return {
        "images": np.stack([_half(p) for v in views for p in v.images]),
        "shading": np.stack([_half(_area(s, TARGET)) for v in views for s in v.shading]),
        "alpha": np.rint(view.alpha * 255).astype(np.uint8)[None],
        "surface": _half(own),
        "novel": _half(np.concatenate([there[..., :6], alpha, there[..., 6:]], axis=2)),
        "flow": _half(flow),
        "pose": _flat(pose_in_crop(head, np.full(2, INPUT / 2, np.float32), INPUT)),
        "novel_pose": _flat(novel_pose),
    }


def _surface(view: Buffers, side: int, deep: float, unit: float) -> FloatArray:
    """`(side, side, 7)` albedo, normals of length 1 and depth in head space."""
    alpha = _area(view.alpha, side)[..., None]
    albedo = _area(view.albedo, side) / np.maximum(alpha, 1e-2)
    normal = _area(view.normal, side)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-6)
    there = _area((view.depth > 0).astype(np.float32), side)
    depth = _area(view.depth, side) / np.maximum(there, 1e-6)
    return np.dstack([albedo, normal, (deep - depth) / unit]).astype(np.float32)


def _flat(pose: HeadPose) -> FloatArray:
    parts = pose.rotation.flatten(), pose.scale, pose.shift.flatten()
    return np.concatenate([part.numpy() for part in parts]).astype(np.float32)


def _area(channel: FloatArray, side: int) -> FloatArray:
    small = cv2.resize(channel, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _half(values: NDArray[np.floating]) -> np.ndarray:
    """float16, channels first."""
    there = np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
    return np.ascontiguousarray(np.moveaxis(there, 2, 0))


def _find_head(
    landmarks: FloatArray, camera: PinholeCamera, finder: HeadFinder
) -> tuple[Head, float]:
    """The head in the image, and the image's pixels per dm at the face."""
    per_dm = camera.focal * camera.height / float(landmarks[:, 2].mean())
    return finder.find(landmarks * np.array([1, 1, per_dm], np.float32)), per_dm


def _seen_by(
    novel: PinholeCamera,
    camera: PinholeCamera,
    origin: FloatArray,
    rotation: FloatArray,
    unit: float,
) -> tuple[HeadPose, float]:
    """A head as another camera sees it.

    Args:
        novel: that camera.
        camera: the one in which the head was found; its axes are the world's.
        origin: `(3,)` of the head there: pixels right and down, and depth in dm.
        rotation: `(3, 3)` of the head there.
        unit: of head space, in dm of the world.

    Returns:
        The pose, and the origin's depth in dm.
    """
    middle = np.array([origin[0] - camera.width / 2, camera.height / 2 - origin[1]], np.float32)
    ray = np.array([*middle / (camera.focal * camera.height), -1], np.float32)
    x, y, depth = (float(v) for v in novel.project(camera.position + ray * origin[2]))
    pose = HeadPose(
        torch.from_numpy(novel.rotation @ rotation)[None],
        torch.tensor([2 * novel.focal / depth * unit]),
        torch.tensor([[2 * x / novel.width - 1, 2 * y / novel.height - 1]]),
    )
    return pose, depth


@cache
def _finder() -> HeadFinder:
    return HeadFinder()


@dataclass(frozen=True, slots=True)
class CaptureFolder:
    """A folder of captures, and what they follow from."""

    path: Path
    pack: Path
    seed: int
    split: Split
    photographs: Path | None
    """A folder of images that serve as backdrops beside the painted ones."""

    def fill(self, indices: Sequence[int], workers: int) -> Iterator[int]:
        """Renders the captures that are not there yet, and gives each index when it is.

        Start it from a script's `if __name__ == "__main__":` block, as processes are spawned.

        Raises:
            OSError, ValueError: the pack cannot be read, or there is no OpenGL.
            BrokenProcessPool: a worker was killed.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(workers, get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
            yield from pool.map(self._render, indices)

    def _render(self, index: int) -> int:
        target = self.path / f"{index:06d}.safetensors"
        if not target.exists():
            pack, rasterizer, photographs = _stage(self.pack, self.photographs)
            part = target.with_suffix(f".{os.getpid()}.part")
            save_file(render(pack, rasterizer, self.seed, index, self.split, photographs), part)
            part.replace(target)
        return index


@cache
def _stage(
    pack: Path, photographs: Path | None
) -> tuple[AssetPack, Rasterizer, Photographs | None]:
    """What a worker needs, once."""
    return AssetPack.open(pack), Rasterizer(), Photographs(photographs) if photographs else None
