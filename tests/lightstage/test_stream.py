"""The training stream: what a training script relies on."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from support.stage import require
from vcam_relight.pipeline.core.color import encode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.face.tracker import FaceTracker

require("moderngl")
require("embreex")

from vcam_relight.pipeline.lighting.light_map import to_sh  # noqa: E402
from vcam_relight.pipeline.lighting.sh import dominant_direction  # noqa: E402
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack, default_pack_path  # noqa: E402
from vcam_relight.pipeline.lightstage.camera.framing import orbit, source_camera  # noqa: E402
from vcam_relight.pipeline.lightstage.clips.clip import (  # noqa: E402
    ClipPlan,
    ClipRecipe,
    RenderedClip,
    RenderedView,
)
from vcam_relight.pipeline.lightstage.clips.stream import ClipStream  # noqa: E402
from vcam_relight.pipeline.lightstage.core.scene import Label  # noqa: E402
from vcam_relight.pipeline.lightstage.light.light_sampler import sample_light  # noqa: E402
from vcam_relight.pipeline.lightstage.light.light_shapes import rotate  # noqa: E402

HALF_FLOATS = 0.002
"""Of the brightest pixel: image, albedo, shading and highlights are rounded to half floats, whose
step is 1/2048 of a value, each on its own."""

FLOW_DB = 30.0
"""PSNR of albedo warped bilinearly to another frame or view, encoded; texture finer than the pixels
(hair, beards, patterned cloth) is sampled anew there."""

NOVEL_NORMAL_DEG = 3.0
"""Median angle between a surface's normals in two views, rounded to half floats and sampled at
pixels of other sizes."""

LANDMARK_PX = 4.5
"""Mean distance, in pixels of 256, of MediaPipe's landmarks from those that come with an image: it
finds 2 to 3 on people of its own kind of image, and its own noise is part of that."""

SMALL = ClipRecipe(size=64, shortest=2, longest=2)
SINGLE = ClipRecipe(size=64, shortest=1, longest=1, views=0)


@pytest.fixture(scope="module")
def clip(pack: AssetPack) -> RenderedClip:
    """A few frames at full size."""
    return next(
        iter(ClipStream(default_pack_path(), 5, ClipRecipe(shortest=4, longest=4), 0, stop=1))
    )


def arrays(value: Any) -> Iterator[np.ndarray]:
    """All arrays inside dataclasses and tuples, in order."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from arrays(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from arrays(getattr(value, field.name))


def contents(clip: RenderedClip) -> list[bytes]:
    return [array.tobytes() for array in arrays(clip.frames)]


def psnr(a: FloatArray, b: FloatArray) -> float:
    return float(-10 * np.log10(np.mean((np.clip(a, 0, 1) - np.clip(b, 0, 1)) ** 2)))


def pixels(size: int) -> tuple[FloatArray, FloatArray]:
    """x and y of pixels as `cv2.remap` counts them."""
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    return x, y


def test_the_same_seed_gives_the_same_bytes_however_many_workers(pack: AssetPack) -> None:
    """And when the stream is taken up in the middle."""
    first, second = ClipStream(default_pack_path(), 1, SMALL, 2, stop=2)
    (resumed,) = ClipStream(default_pack_path(), 1, SMALL, 1, start=1, stop=2)
    assert (first.index, second.index, resumed.index) == (0, 1, 1)
    assert contents(resumed) == contents(second) != contents(first)


def test_an_image_is_albedo_times_shading_plus_specular(clip: RenderedClip) -> None:
    for view in (clip.frames[0].source, *clip.frames[0].novel):
        made = view.albedo.astype(np.float32) * view.shading + view.specular
        assert np.abs(made - view.images).max() < HALF_FLOATS * view.images.max()


def test_flow_carries_the_next_frame_onto_this_one(clip: RenderedClip) -> None:
    for frame, following in zip(clip.frames, clip.frames[1:], strict=False):
        x, y = pixels(256)
        flow = frame.flow.astype(np.float32)
        valid = frame.flow_valid & (frame.source.labels > 0)
        assert valid.sum() > 0.9 * (frame.source.labels > 0).sum()
        there = following.source.albedo.astype(np.float32)
        warped = cv2.remap(there, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
        here = frame.source.albedo.astype(np.float32)
        with_flow = psnr(encode_srgb(warped)[valid], encode_srgb(here)[valid])
        without = psnr(encode_srgb(there)[valid], encode_srgb(here)[valid])
        assert with_flow > max(FLOW_DB, without + 3)
    assert not clip.frames[-1].flow_valid.any()


def test_a_novel_view_shows_the_same_surfaces(clip: RenderedClip) -> None:
    """Its colours and normals are found again where depth and the two cameras say."""
    frame = clip.frames[0]
    here, there = frame.source, frame.novel[0]
    world, seen = unproject(there)
    place = here.camera.project(world)
    x, y = place[..., 0] - 0.5, place[..., 1] - 0.5
    depth = cv2.remap(here.depth, x, y, cv2.INTER_NEAREST)
    labels = cv2.remap(here.labels, np.round(x), np.round(y), cv2.INTER_NEAREST)
    # Not at edges, where a pixel of one view is a mixture in the other.
    close = cv2.erode((np.abs(depth - place[..., 2]) < 0.05).astype(np.uint8), np.ones((3, 3))) > 0
    both = (
        seen & close & (labels == there.labels) & np.isin(there.labels, (Label.SKIN, Label.CLOTHES))
    )
    assert both.sum() > 3000
    albedo = cv2.remap(here.albedo.astype(np.float32), x, y, cv2.INTER_LINEAR)
    normal = cv2.remap(here.normal.astype(np.float32), x, y, cv2.INTER_LINEAR)
    wanted = there.albedo.astype(np.float32)
    assert psnr(encode_srgb(albedo)[both], encode_srgb(wanted)[both]) > FLOW_DB
    cosine = (normal * there.normal).sum(-1)[both]
    assert np.degrees(np.arccos(np.clip(np.median(cosine), -1, 1))) < NOVEL_NORMAL_DEG


def unproject(view: RenderedView) -> tuple[FloatArray, np.ndarray]:
    """World positions of a view's pixels, and where there are any."""
    camera = view.camera
    x, y = pixels(camera.width)
    scale = view.depth / (camera.focal * camera.height)
    across, up = (x + 0.5 - camera.width / 2) * scale, (camera.height / 2 - y - 0.5) * scale
    local = np.stack([across, up, -view.depth], -1)
    return local @ camera.rotation + camera.position, view.depth > 0


def test_a_face_is_found_where_the_landmarks_say(pack: AssetPack) -> None:
    """MediaPipe, looking at the image, agrees with the landmarks that came with it."""
    tracker = FaceTracker(StageTimer())
    errors = []
    for made in ClipStream(
        default_pack_path(), 8, ClipRecipe(shortest=1, longest=1, views=0), 0, stop=4
    ):
        view = made.frames[0].source
        linear = view.images[0].astype(np.float32) * 0.7
        level = linear[view.labels == Label.SKIN].mean()
        linear = linear * (0.25 / level) + 0.1 * (1 - view.alpha[..., None].astype(np.float32))
        image = (encode_srgb(linear)[..., ::-1] * 255).astype(np.uint8)
        faces = tracker.still(np.ascontiguousarray(image)).faces
        if faces:
            delta = faces[0].landmarks[:, :2] - view.landmarks[:, :2]
            errors.append(np.hypot(delta[:, 0], delta[:, 1]).mean())
    assert len(errors) >= 3
    assert np.median(errors) < LANDMARK_PX


def test_lightings_point_everywhere_and_expose_a_face_alike(pack: AssetPack) -> None:
    lights = [sample_light(np.random.default_rng([9, k]), pack.hdris) for k in range(300)]
    towards = np.array([dominant_direction(to_sh(light.radiance)) for light in lights])
    yaw = np.degrees(np.arctan2(towards[:, 0], towards[:, 2]))
    assert all(30 < n < 130 for n in np.histogram(yaw, [-110, -55, 0, 55, 110])[0])
    pitch = np.degrees(np.arcsin(towards[:, 1]))
    assert np.mean(pitch < 0) > 0.08 and np.mean(pitch > 30) > 0.25
    turned = rotate(lights[0].radiance, 40.0)
    after = dominant_direction(to_sh(turned))
    moved = np.degrees(np.arctan2(after[0], after[2])) - yaw[0]
    assert abs((moved + 180) % 360 - 180 - 40) < 4


def test_the_splits_share_no_person_and_no_environment(pack: AssetPack) -> None:
    train, test = (
        [ClipPlan.of(pack, ClipRecipe(split=split), 3, k) for k in range(120)]
        for split in ("train", "test")
    )
    test_split = {hdri.name for hdri in pack.hdris if hdri.split == "test"}
    assert test_split and len(test_split) < len(pack.hdris)

    def environments(plans: list[ClipPlan]) -> set[str]:
        made = (light for plan in plans for light in plan.lights if light.kind == "environment")
        return {light.description.split()[1].rstrip(",") for light in made}

    assert environments(test) <= test_split and environments(test)
    assert not environments(train) & test_split and environments(train)


def test_a_killed_worker_is_reported_and_ends_the_others(pack: AssetPack) -> None:
    frames = ClipStream(default_pack_path(), 1, SINGLE, 2, ahead=1).frames()
    next(frames)
    children = multiprocessing.active_children()
    assert len(children) == 2
    os.kill(children[0].pid or 0, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"worker of the light stage ended.*-9"):
        for _ in range(10):
            next(frames)
    assert not multiprocessing.active_children()


def test_leaving_the_loop_leaves_no_process(pack: AssetPack) -> None:
    for _ in ClipStream(default_pack_path(), 1, SINGLE, 1, ahead=1):
        break
    assert not multiprocessing.active_children()


def test_a_missing_pack_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no asset pack"):
        next(ClipStream(tmp_path / "none.npz", 1, SMALL, 1).frames())


def test_an_orbit_looks_from_the_side_it_says() -> None:
    camera = source_camera(64)
    centre = np.zeros(3, np.float32)
    right = orbit(camera, centre, 30.0, 0.0)
    above = orbit(camera, centre, 0.0, 15.0)
    assert right.position[0] > 3 and above.position[1] > camera.position[1] + 1
    assert np.allclose(right.project(centre)[2], camera.project(centre)[2], atol=1e-3)
    assert np.allclose(above.project(centre), camera.project(centre), atol=1e-2)
