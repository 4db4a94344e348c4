"""Finds where MediaPipe's 468 face mesh points lie on MakeHuman's base mesh.

People without beards, glasses and headwear are rendered in many poses, MediaPipe's landmark model
looks at the images, and for each landmark the point of the skin is kept that lies closest to it
in all of them.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.color import encode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.face.region import LEFT_EYE, RIGHT_EYE
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.lighting.light_map import LightMap, map_directions
from vcam_relight.pipeline.lightstage.animation.pose import Pose
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack, default_pack_path
from vcam_relight.pipeline.lightstage.assets.landmarks import COUNT, FILE, Correspondence
from vcam_relight.pipeline.lightstage.camera.framing import source_camera
from vcam_relight.pipeline.lightstage.core.scene import PinholeCamera
from vcam_relight.pipeline.lightstage.core.wavefront import triangulate
from vcam_relight.pipeline.lightstage.light.light_sampler import expose
from vcam_relight.pipeline.lightstage.person.figure import Figure
from vcam_relight.pipeline.lightstage.person.identity import sample_identity
from vcam_relight.pipeline.lightstage.render.rasterizer import Rasterizer
from vcam_relight.pipeline.lightstage.render.transfer import Transfer, trace

_SIZE = 384
_STEPS = 4
"""Each triangle is tried at the points of a grid with so many steps along its edges."""
_TOLERANCE = 0.02
"""Distances beyond this share of that between the outer eye corners lose weight."""
_NEAR = 0.15
"""Points further from a landmark than this, on average, are none of it."""
_BOX = np.array([(-1.3, -2.0, -1.4), (1.3, 1.6, 2.0)])
"""dm around the midpoint between the template's eyes, wide enough for a face."""
_HAIR = "short02"
_EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.45, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2},
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6},
)
_TURNS = ((0, 0), (0, 14), (0, -14), (0, 28), (0, -28), (12, 0), (-12, 0))
"""Pitch and yaw of the head in degrees."""


@dataclass(frozen=True, slots=True)
class FaceObservation:
    """One rendered face and what the landmark model says of it."""

    camera: PinholeCamera
    base: FloatArray
    """`(V, 3)` posed base mesh, world."""
    found: FloatArray
    """`(468, 2)` pixels."""

    @property
    def unit(self) -> float:
        """Pixels between the outer eye corners."""
        spread = self.found[RIGHT_EYE] - self.found[LEFT_EYE]
        return float(np.linalg.norm(spread))


def fit(observations: list[FaceObservation], triangles: NDArray[np.int32]) -> Correspondence:
    """The points on `triangles` `(T, 3)` of the base mesh nearest to what was found.

    Minimises, for each landmark, the sum over all observations of Geman and McClure's robust
    function of the distance in the image.
    """
    weights = _grid(_STEPS)
    projected = []
    for observation in observations:
        corners = observation.base[triangles]
        points = np.einsum("gk,tkc->tgc", weights, corners).reshape(-1, 3)
        projected.append(observation.camera.project(points)[:, :2] / observation.unit)
    places = np.stack(projected)
    found = np.stack([observation.found / observation.unit for observation in observations])
    chosen = np.zeros(COUNT, int)
    for landmark in range(COUNT):
        # Only what is near on average can win: a tenth of the work.
        offset = places.mean(0) - found[:, landmark].mean(0)
        near = np.flatnonzero(np.einsum("pc,pc->p", offset, offset) < _NEAR**2)
        delta = places[:, near] - found[:, None, landmark]
        square = np.einsum("spc,spc->sp", delta, delta)
        cost = (square / (square + _TOLERANCE**2)).sum(0)
        chosen[landmark] = near[int(np.argmin(cost))]
    triangle, corner = chosen // len(weights), chosen % len(weights)
    return Correspondence(triangles[triangle], weights[corner])


def _error(correspondence: Correspondence, observation: FaceObservation) -> float:
    """Mean distance, of that between the outer eye corners."""
    delta = (
        observation.camera.project(correspondence.on(observation.base))[:, :2] - observation.found
    )
    return float(np.linalg.norm(delta, axis=1).mean()) / observation.unit


def _poses() -> Iterator[Pose]:
    for pitch, yaw in _TURNS:
        for expression in _EXPRESSIONS if pitch == 0 else _EXPRESSIONS[:1]:
            yield Pose(expression, np.radians([pitch, yaw, 0]).astype(np.float32))


def _face(pack: AssetPack) -> NDArray[np.int32]:
    """Triangles of the base mesh `(T, 3)` around the face."""
    base = pack.base
    triangles = triangulate(base.faces[base.groups == "body"])
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (c != a)]
    eyes = np.mean(
        [
            base.positions[base.faces[base.groups == f"joint-{side}-eye"]].mean((0, 1))
            for side in "lr"
        ],
        axis=0,
    )
    place = base.positions[triangles].mean(1) - eyes
    low, high = _BOX
    inside = ((place > low) & (place < high)).all(1)
    result: NDArray[np.int32] = triangles[inside].astype(np.int32)
    return result


def _grid(steps: int) -> FloatArray:
    """`(N, 3)` barycentric weights of a triangle's grid."""
    rows = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    return np.array(rows, np.float32) / np.float32(steps)


def observe(
    figure: Figure, rasterizer: Rasterizer, tracker: FaceTracker, transfer: Transfer, pose: Pose
) -> FaceObservation | None:
    """Renders a figure, loaded into `rasterizer`, and finds its landmarks; None if no face is."""
    posed = figure.pose(pose)
    camera = source_camera(_SIZE, posed.head[:3, 3])
    buffers = rasterizer.draw(posed, camera, transfer.light(posed, [_soft_front()]))
    linear = buffers.images[0] + 0.1 * (1 - buffers.alpha[..., None])
    image = (encode_srgb(linear)[..., ::-1] * 255 + 0.5).astype(np.uint8)
    faces = tracker.still(np.ascontiguousarray(image)).faces
    return FaceObservation(camera, figure.base(pose), faces[0].landmarks[:, :2]) if faces else None


def _soft_front() -> LightMap:
    directions, _ = map_directions()
    return expose(0.4 + np.repeat(np.clip(directions[..., 2:], 0, 1), 3, axis=2))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--pack", type=Path, default=default_pack_path(), help="the asset pack")
    parser.add_argument("--people", type=int, default=16, help="how many to look at")
    parser.add_argument("--out", type=Path, default=FILE, help="the file to write")


def run(arguments: argparse.Namespace) -> None:
    """Finds the landmarks anew and writes them.

    How well they fit is printed, for people that were left out of the search.
    """
    pack, rasterizer, tracker = (
        AssetPack.open(arguments.pack),
        Rasterizer(),
        FaceTracker(StageTimer()),
    )
    people: list[list[FaceObservation]] = []
    for seed in range(arguments.people):
        person = replace(sample_identity(seed), beard=None, glasses=None, headwear=None, hair=_HAIR)
        figure = Figure(pack, person)
        rasterizer.load(figure.parts)
        transfer = trace(figure.parts, figure.pose(Pose()))
        seen = (observe(figure, rasterizer, tracker, transfer, pose) for pose in _poses())
        people.append([sighting for sighting in seen if sighting is not None])
        print(f"person {seed + 1} of {arguments.people}: {len(people[-1])} images", flush=True)
    triangles = _face(pack)
    left_out = [p for k, p in enumerate(people) if k % 4 == 0]
    kept = [p for k, p in enumerate(people) if k % 4]
    trial = fit([s for person in kept for s in person], triangles)
    errors = [_error(trial, s) for person in left_out for s in person]
    print(f"people left out: {np.mean(errors):.1%} of the distance between the eyes' outer corners")
    best = fit([s for person in people for s in person], triangles)
    np.savez_compressed(arguments.out, vertices=best.vertices, weights=best.weights)
