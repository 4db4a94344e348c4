"""What the network is trained on: people of the light stage, rendered once and kept on disk.

On a CPU, tracing a person's light takes far longer than a training step, so each capture is used in
many epochs. A capture is one person: either a few poses under many lights, or a short animation.
Capture `i` follows from the pack, the seed, the split and `i` alone, so a folder can be filled by
several processes, and gone on with later.
"""

import functools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.light_map import LightMap, to_sh
from vcam_relight.pipeline.lightstage.animation.animation import Animation
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack
from vcam_relight.pipeline.lightstage.camera.backdrop import Photographs, sample_backdrop
from vcam_relight.pipeline.lightstage.camera.framing import (
    PITCH,
    YAW,
    head_centre,
    jittered_camera,
    orbit,
)
from vcam_relight.pipeline.lightstage.camera.occluder import Occluder
from vcam_relight.pipeline.lightstage.camera.parameters import sample_camera
from vcam_relight.pipeline.lightstage.camera.webcam import ForegroundLayer, WebcamFrame, film
from vcam_relight.pipeline.lightstage.clips.clip import (
    ClipPlan,
    ClipRecipe,
    RenderedFrame,
    RenderedView,
    render_clip,
)
from vcam_relight.pipeline.lightstage.core.scene import PinholeCamera
from vcam_relight.pipeline.lightstage.core.split import Split
from vcam_relight.pipeline.lightstage.light.light_sampler import sample_light
from vcam_relight.pipeline.lightstage.person.figure import Figure
from vcam_relight.pipeline.lightstage.person.identity import sample_identity
from vcam_relight.pipeline.lightstage.render.rasterizer import Buffers, Rasterizer
from vcam_relight.pipeline.lightstage.render.transfer import trace

INPUT, TARGET, NOVEL = 256, 128, 64
"""Sides of the input, of the ground truth and of a novel view, in pixels."""
_POSES, _PAIRS, _LENGTH = 2, 3, 6
"""Poses of a capture, pairs of lightings under which each is seen, and frames of an animation."""
_EVERY = 6
"""One capture in so many is an animation."""
_PEOPLE = 1_000_000
"""Identity seeds of one seed, before they meet those of the next."""
_OCCLUDED = 0.12
"""Share of images with something before the face."""
_LARGEST_HALF = 6e4
Capture = dict[str, np.ndarray]
"""The arrays that `render` returns."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """A person at one time under two lightings, and one novel view."""

    source: Buffers | RenderedView
    camera: PinholeCamera
    landmarks: FloatArray
    """`(468, 3)` world positions, dm."""
    lights: tuple[LightMap, LightMap]
    sh: FloatArray
    """`(2, 9, 3)`."""
    novel: Buffers | RenderedView
    novel_camera: PinholeCamera


def is_animated(index: int) -> bool:
    """Whether capture `index` is one, rather than some poses."""
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
        Arrays of N = 6 frames each. Colours are linear RGB, premultiplied by alpha, except shading:
        `input` `(N, 2, 256, 256, 3)` uint8 BGR as a webcam delivers it, under both lightings;
        `occluded` `(N, 2, 128, 128)` uint8, 255 where something covers the person;
        `gain` `(N, 2, 3)` linear RGB, from the scene to the webcam's image;
        `images`, `shading` `(N, 2, 128, 128, 3)`, `albedo`, `normal` `(N, 128, 128, 3)`,
        `alpha`, `depth` (dm, 0 where nothing is) `(N, 128, 128)` float16;
        `sh` `(N, 2, 9, 3)`; `landmarks` `(N, 468, 3)` x and y in pixels of the input and depth in
        dm; `camera` `(N, 4)` position and focal length in image heights, its axes the world's;
        `novel_albedo`, `novel_normal` (world) `(N, 64, 64, 3)`, `novel_alpha`, `novel_depth`
        `(N, 64, 64)`, `novel_camera` `(N, 13)` position, rotation and focal length;
        `flow` `(N, 128, 128, 2)` in pixels of the ground truth, from each frame to the next, and
        `flow_valid`, of animations only.
    """
    rng = np.random.default_rng([seed, index, int(split == "test")])
    if is_animated(index):
        recipe = ClipRecipe(INPUT, split, _LENGTH, _LENGTH)
        frames = list(render_clip(pack, rasterizer, ClipPlan.of(pack, recipe, seed, index), recipe))
        moments = [_of_clip(frame) for frame in frames]
        # For each moment its images under both lightings, by a webcam each.
        webcam = list(zip(*(_filmed(rng, moments, k, photographs) for k in range(2)), strict=True))
        flow = np.stack([_half(frame.flow, TARGET) for frame in frames])
        motion = {
            "flow": (flow * (TARGET / INPUT)).astype(np.float16),
            "flow_valid": np.stack([frame.flow_valid[::2, ::2] for frame in frames]),
        }
    else:
        figure = Figure(pack, sample_identity(seed * _PEOPLE + index, split))
        rasterizer.load(figure.parts)
        poses = [_posed(pack, rasterizer, figure, rng, split) for _ in range(_POSES)]
        moments = [moment for pose in poses for moment in pose]
        webcam = [
            tuple(_filmed(rng, [moment], k, photographs)[0] for k in range(2)) for moment in moments
        ]
        motion = {}
    rows = [_row(moment, shots) for moment, shots in zip(moments, webcam, strict=True)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]} | motion


def _posed(
    pack: AssetPack, rasterizer: Rasterizer, figure: Figure, rng: np.random.Generator, split: Split
) -> list[_Moment]:
    """One pose under pairs of lightings, each seen by cameras of its own."""
    pose = Animation(int(rng.integers(2**30)), 300).pose(int(rng.integers(300)))
    posed = figure.pose(pose)
    transfer = trace(figure.parts, posed)
    centre = head_centre(posed.head)
    moments = []
    for _ in range(_PAIRS):
        first, second = (sample_light(rng, pack.hdris, split).radiance for _ in range(2))
        camera = jittered_camera(rng, INPUT, posed.head[:3, 3])
        novel = orbit(camera, centre, *rng.uniform((-YAW, -PITCH), (YAW, PITCH)))
        novel = replace(novel, width=NOVEL, height=NOVEL)
        moments.append(
            _Moment(
                rasterizer.draw(posed, camera, transfer.light(posed, (first, second))),
                camera,
                posed.landmarks,
                (first, second),
                np.stack([to_sh(first), to_sh(second)]),
                rasterizer.draw(posed, novel),
                novel,
            )
        )
    return moments


def _of_clip(frame: RenderedFrame) -> _Moment:
    (novel,) = frame.novel
    source = frame.source
    return _Moment(
        source, source.camera, frame.landmarks, frame.lights, frame.sh, novel, novel.camera
    )


def _filmed(
    rng: np.random.Generator,
    moments: Sequence[_Moment],
    k: int,
    photographs: Photographs | None,
) -> list[WebcamFrame]:
    size, light = (INPUT, INPUT), moments[0].lights[k]
    backdrop = sample_backdrop(rng, size, light, moments[0].camera.focal, photographs)
    thing = Occluder(rng) if rng.random() < _OCCLUDED else None

    def front(t: int) -> ForegroundLayer | None:
        return thing.draw(t, size, light) if thing else None

    shots = [
        (moment.source.images[k], moment.source.alpha, backdrop, front(t))
        for t, moment in enumerate(moments)
    ]
    return list(film(sample_camera(rng), shots))


def _row(moment: _Moment, webcam: Sequence[WebcamFrame]) -> Capture:
    source, camera = moment.source, moment.camera
    return {
        **_channels(source, TARGET, ""),
        **_channels(moment.novel, NOVEL, "novel_"),
        "images": np.stack([_half(image, TARGET) for image in source.images]),
        "shading": np.stack([_half(shading, TARGET) for shading in source.shading]),
        "input": np.stack([shot.image for shot in webcam]),
        "occluded": np.stack(
            [(_area(shot.occluded, TARGET) * 255).astype(np.uint8) for shot in webcam]
        ),
        "gain": np.stack([shot.gain for shot in webcam]),
        "sh": moment.sh,
        "landmarks": camera.project(moment.landmarks),
        "camera": np.array([*camera.position, camera.focal], np.float32),
        "novel_camera": _flat(moment.novel_camera),
    }


def _channels(view: Buffers | RenderedView, side: int, prefix: str) -> Capture:
    there = _area((view.depth > 0).astype(np.float32), side)
    # The mean of what is there, without the background's zeros.
    depth = _area(view.depth, side) / np.maximum(there, 1e-6)
    return {
        f"{prefix}albedo": _half(view.albedo, side),
        f"{prefix}normal": _half(view.normal, side),
        f"{prefix}alpha": _half(view.alpha, side),
        f"{prefix}depth": depth.astype(np.float16),
    }


def _flat(camera: PinholeCamera) -> FloatArray:
    return np.array([*camera.position, *camera.rotation.reshape(-1), camera.focal], np.float32)


def _area(channel: np.ndarray, side: int) -> FloatArray:
    small = cv2.resize(np.asarray(channel, np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _half(channel: np.ndarray, side: int) -> np.ndarray:
    return np.clip(_area(channel, side), -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)


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
        target = self.path / f"{index:06d}.npz"
        if not target.exists():
            pack, rasterizer, photographs = _stage(self.pack, self.photographs)
            arrays: dict[str, Any] = render(
                pack, rasterizer, self.seed, index, self.split, photographs
            )
            part = target.with_suffix(f".{os.getpid()}.part")
            with part.open("wb") as file:
                np.savez(file, **arrays)
            part.replace(target)
        return index


@functools.cache
def _stage(
    pack: Path, photographs: Path | None
) -> tuple[AssetPack, Rasterizer, Photographs | None]:
    """What a worker needs, once."""
    return AssetPack.open(pack), Rasterizer(), Photographs(photographs) if photographs else None
