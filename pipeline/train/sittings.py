"""What the network is trained on: people of the light stage, rendered once and kept on disk.

On a CPU, tracing a person's light takes far longer than a training step, so each sitting is used in
many epochs. A sitting is one person: either a few poses under many lights, or a short performance.
Sitting `i` follows from the pack, the seed and `i` alone, so a folder can be filled by several
processes, and gone on with later.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.lightstage.backdrop import Photographs, sample_backdrop
from pipeline.lightstage.camera_look import sample_camera
from pipeline.lightstage.clip import Frame, Plan, Recipe, render_clip
from pipeline.lightstage.figure import Figure
from pipeline.lightstage.framing import PITCH, YAW, head_centre, jittered_camera, orbit
from pipeline.lightstage.identity import sample_identity
from pipeline.lightstage.light_map import LightMap, to_sh
from pipeline.lightstage.light_sampler import Split, sample_light
from pipeline.lightstage.occluder import Occluder
from pipeline.lightstage.pack import Pack
from pipeline.lightstage.performance import Performance
from pipeline.lightstage.rasterizer import Buffers, Rasterizer
from pipeline.lightstage.scene import Camera, Posed
from pipeline.lightstage.transfer import trace
from pipeline.lightstage.webcam import Layer, WebcamFrame, film
from pipeline.types import Floats

INPUT, TRUTH, NOVEL = 256, 128, 64
"""Side of the input, of what is true of it, and of a novel view, in pixels."""
POSES, PAIRS, LENGTH = 2, 3, 6
"""Poses of a sitting, pairs of lightings under which each is seen, and frames of a performance."""
_PEOPLE = 1_000_000
_OCCLUDED = 0.12
"""Share of pictures with something before the face."""
_BRIGHTEST = 60000.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """One moment under two lightings, and one novel view of it."""

    buffers: Buffers
    camera: Camera
    posed: Posed
    lights: tuple[LightMap, LightMap]
    novel: Buffers
    novel_camera: Camera


def render(
    pack: Pack,
    rasterizer: Rasterizer,
    seed: int,
    index: int,
    split: Split,
    photographs: Photographs | None,
) -> dict[str, np.ndarray]:
    """Sitting `index`; every sixth is a performance.

    Returns:
        Arrays of N frames each. Colours are linear RGB, premultiplied by alpha, except shading:
        `input` `(N, 2, 256, 256, 3)` uint8 BGR as a webcam delivers it, under both lightings;
        `occluded` `(N, 2, 128, 128)` uint8, 255 where something covers the person;
        `gain` `(N, 2, 3)` linear RGB, from the scene to the webcam's picture;
        `pictures`, `shading` `(N, 2, 128, 128, 3)`, `albedo`, `normal` `(N, 128, 128, 3)`,
        `alpha`, `depth` (dm, 0 where nothing is) `(N, 128, 128)` float16;
        `sh` `(N, 2, 9, 3)`; `landmarks` `(N, 468, 3)` x and y in pixels of the input and depth in
        dm; `camera` `(N, 4)` position and focal length;
        `novel_albedo`, `novel_normal` (world) `(N, 64, 64, 3)`, `novel_alpha`, `novel_depth`
        `(N, 64, 64)`, `novel_camera` `(N, 13)` position, rotation and focal length;
        `flow` `(N, 128, 128, 2)` in pixels of the truth, from each frame to the next, and
        `flow_valid`, of performances only.
    """
    rng = np.random.default_rng([seed, index, int(split == "test")])
    identity = seed * _PEOPLE + index
    if index % 6 == 5:
        recipe = Recipe(INPUT, split, LENGTH, LENGTH)
        frames = list(render_clip(pack, rasterizer, Plan.of(pack, recipe, seed, index), recipe))
        return _performed(rng, frames, photographs)
    figure = Figure(pack, sample_identity(identity, split))
    rasterizer.load(figure.parts)
    seen = [
        one
        for _ in range(POSES)
        for one in _posed(pack, rasterizer, figure, rng, split)
    ]
    return _stacked(rng, seen, photographs)


def _posed(
    pack: Pack, rasterizer: Rasterizer, figure: Figure, rng: np.random.Generator, split: Split
) -> Iterator[_Seen]:
    pose = Performance(int(rng.integers(2**30)), 300).pose(int(rng.integers(300)))
    posed = figure.pose(pose)
    transfer = trace(figure.parts, posed)
    centre = head_centre(posed.head)
    for _ in range(PAIRS):
        first, second = (sample_light(rng, pack.hdris, split).radiance for _ in range(2))
        lit = transfer.light(posed, (first, second))
        camera = jittered_camera(rng, INPUT, posed.head[:3, 3])
        other = _small(orbit(camera, centre, *rng.uniform((-YAW, -PITCH), (YAW, PITCH))))
        yield _Seen(
            rasterizer.draw(posed, camera, lit),
            camera,
            posed,
            (first, second),
            rasterizer.draw(posed, other),
            other,
        )


def _small(camera: Camera) -> Camera:
    return Camera(camera.position, camera.focal, NOVEL, NOVEL, camera.rotation)


def _stacked(
    rng: np.random.Generator, seen: Sequence[_Seen], photographs: Photographs | None
) -> dict[str, np.ndarray]:
    rows = []
    for one in seen:
        webcam = [
            _filmed(rng, [(one.buffers.pictures[k], one.buffers.alpha)], one.lights[k],
                    one.camera.focal, photographs)[0]
            for k in range(2)
        ]  # fmt: skip
        row = _truth(one.buffers, one.camera, one.posed.landmarks, webcam)
        row |= _novel(one.novel, one.novel_camera)
        row["sh"] = np.stack([to_sh(light) for light in one.lights])
        rows.append(row)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _performed(
    rng: np.random.Generator, frames: Sequence[Frame], photographs: Photographs | None
) -> dict[str, np.ndarray]:
    focal = frames[0].source.camera.focal
    both = [
        _filmed(rng, [(f.source.pictures[k], f.source.alpha) for f in frames], frames[0].lights[k],
                focal, photographs)
        for k in range(2)
    ]  # fmt: skip
    rows = []
    for frame, webcam in zip(frames, zip(*both, strict=True), strict=True):
        row = _truth(frame.source, frame.source.camera, frame.landmarks, list(webcam))
        view = frame.novel[0]
        shrunk = {
            f"novel_{name}": _shrunk(getattr(view, name), NOVEL)
            for name in ("albedo", "normal", "alpha")
        }
        row |= shrunk
        row["novel_depth"] = _shrunk_depth(view.depth, NOVEL)
        row["novel_camera"] = _flat(view.camera)
        row["flow"] = (_shrunk(frame.flow, TRUTH) * (TRUTH / INPUT)).astype(np.float16)
        row["flow_valid"] = frame.flow_valid[::2, ::2]
        row["sh"] = frame.sh
        rows.append(row)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _filmed(
    rng: np.random.Generator,
    pictures: Sequence[tuple[np.ndarray, np.ndarray]],
    light: LightMap,
    focal: float,
    photographs: Photographs | None,
) -> list[WebcamFrame]:
    size = (INPUT, INPUT)
    backdrop = sample_backdrop(rng, size, light, focal, photographs)
    thing = Occluder(rng) if rng.random() < _OCCLUDED else None

    def front(k: int) -> Layer | None:
        return thing.draw(k, size, light) if thing else None

    shots = [(p, a, backdrop, front(k)) for k, (p, a) in enumerate(pictures)]
    return list(film(sample_camera(rng), shots))


def _truth(
    buffers: "Buffers | object", camera: Camera, landmarks: Floats, webcam: Sequence[WebcamFrame]
) -> dict[str, np.ndarray]:
    row = {
        name: _shrunk(getattr(buffers, name), TRUTH)
        for name in ("albedo", "normal", "alpha")
    }
    for name in ("pictures", "shading"):
        row[name] = np.stack([_shrunk(one, TRUTH) for one in getattr(buffers, name)])
    row["depth"] = _shrunk_depth(buffers.depth, TRUTH)
    row["input"] = np.stack([shot.picture for shot in webcam])
    row["occluded"] = np.stack(
        [(_area(shot.occluded, TRUTH) * 255).astype(np.uint8) for shot in webcam]
    )
    row["gain"] = np.stack([shot.gain for shot in webcam])
    row["camera"] = np.array([*camera.position, camera.focal], np.float32)
    row["landmarks"] = camera.project(landmarks)
    return row


def _novel(buffers: Buffers, camera: Camera) -> dict[str, np.ndarray]:
    row = {
        f"novel_{name}": _shrunk(getattr(buffers, name), NOVEL)
        for name in ("albedo", "normal", "alpha")
    }
    row["novel_depth"] = _shrunk_depth(buffers.depth, NOVEL)
    row["novel_camera"] = _flat(camera)
    return row


def _flat(camera: Camera) -> Floats:
    return np.array([*camera.position, *camera.rotation.reshape(-1), camera.focal], np.float32)


def _area(channel: np.ndarray, side: int) -> Floats:
    small = cv2.resize(np.asarray(channel, np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _shrunk(channel: np.ndarray, side: int) -> np.ndarray:
    return np.clip(_area(channel, side), -_BRIGHTEST, _BRIGHTEST).astype(np.float16)


def _shrunk_depth(depth: np.ndarray, side: int) -> np.ndarray:
    """Of what is there: the mean without the background's zeros."""
    there = _area((depth > 0).astype(np.float32), side)
    return (_area(depth, side) / np.maximum(there, 1e-6)).astype(np.float16)


def fill(
    folder: Path,
    pack: Path,
    seed: int,
    indices: Sequence[int],
    split: Split,
    photographs: Path | None,
) -> None:
    """Renders the sittings that are not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    opened, rasterizer = Pack.open(pack), Rasterizer()
    behind = Photographs(photographs) if photographs else None
    for index in indices:
        target = folder / f"{index:06d}.npz"
        if target.exists():
            continue
        part = target.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.savez(file, **render(opened, rasterizer, seed, index, split, behind))
        part.replace(target)
