"""Contact sheets, to look at: heads under lights, all channels of a frame, an animation."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import encode_srgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map
from vcam_relight.pipeline.lighting.light_map import LightMap, map_directions
from vcam_relight.pipeline.lightstage.animation.animation import Animation
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack, default_pack_path
from vcam_relight.pipeline.lightstage.camera.framing import source_camera
from vcam_relight.pipeline.lightstage.clips.clip import (
    ClipPlan,
    ClipRecipe,
    RenderedFrame,
    RenderedView,
    render_clip,
)
from vcam_relight.pipeline.lightstage.core.scene import Label
from vcam_relight.pipeline.lightstage.light.light_sampler import SampledLight, sample_light
from vcam_relight.pipeline.lightstage.person.figure import Figure
from vcam_relight.pipeline.lightstage.person.identity import sample_identity
from vcam_relight.pipeline.lightstage.render.rasterizer import LIGHTS, Rasterizer
from vcam_relight.pipeline.lightstage.render.transfer import trace

_ROWS = 10
"""Heads of a page."""
_COLOURS = np.array(
    [
        (40, 40, 40), (150, 180, 235), (250, 250, 250), (80, 80, 200), (40, 90, 130),
        (60, 140, 60), (220, 160, 40), (200, 60, 200), (150, 110, 90),
    ],
    np.uint8,
)  # fmt: skip
"""BGR of each label."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--pack", type=Path, default=default_pack_path(), help="the asset pack")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pages")
    parser.add_argument("--heads", type=int, default=100, help="how many people")
    parser.add_argument("--lights", type=int, default=6, help="lightings of each")
    parser.add_argument("--size", type=int, default=192, help="pixels of one image")
    parser.add_argument("--seed", type=int, default=0, help="of people and lights")
    parser.add_argument("--split", choices=("train", "test"), default="train")


def run(arguments: argparse.Namespace) -> None:
    """Writes `heads-NN.png`, `channels.png` and `animation.png`."""
    pack, rasterizer = AssetPack.open(arguments.pack), Rasterizer()
    arguments.out.mkdir(parents=True, exist_ok=True)
    lights = _varied(pack, arguments.seed, arguments.lights, arguments.split)
    for k, light in enumerate(lights):
        print(f"light {k + 1}: {light.description}")
    recipe = ClipRecipe(256, arguments.split, 24, 24)
    plan = ClipPlan.of(pack, recipe, arguments.seed, 0)
    frames = list(render_clip(pack, rasterizer, plan, recipe))
    _write(arguments.out / "channels.png", channels(frames[0]))
    _write(arguments.out / "animation.png", animation(frames))
    rows: list[BgrImage] = []
    for head in range(arguments.heads):
        rows.append(np.concatenate(_head(pack, rasterizer, lights, arguments, head), axis=1))
        if len(rows) == _ROWS or head + 1 == arguments.heads:
            _write(arguments.out / f"heads-{head // _ROWS + 1:02d}.png", np.concatenate(rows))
            rows = []
            print(f"{head + 1} of {arguments.heads} heads", flush=True)


def channels(frame: RenderedFrame) -> BgrImage:
    """Draws all channels of one frame.

    Returns:
        A BGR image: a row for the source view, one for each novel view, and one of what belongs to
        the frame.
    """
    rows = [_view_row(frame.source)] + [_view_row(view) for view in frame.novel]
    size = frame.source.depth.shape[0]
    flow = frame.flow.astype(np.float32)
    tiles = [
        _label(_flow(flow), "flow"),
        _label(_grey(frame.flow_valid.astype(np.float32)), "flow valid"),
    ]
    for name, light in zip(("source", "target"), frame.lights, strict=True):
        tiles.append(_label(_map(light, size), f"{name} light"))
    row = np.concatenate(tiles, axis=1)
    rows.append(np.pad(row, ((0, 0), (0, rows[0].shape[1] - row.shape[1]), (0, 0))))
    return np.concatenate(rows)


def animation(frames: Sequence[RenderedFrame], count: int = 8) -> BgrImage:
    """Draws some frames of a clip side by side: under both lightings, and in novel views."""
    shown = [frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]
    rows = [[_photo(f.source, k) for f in shown] for k in range(2)]
    rows += [[_photo(f.novel[k], 0) for f in shown] for k in range(len(shown[0].novel))]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def _varied(pack: AssetPack, seed: int, count: int, split: str) -> list[SampledLight]:
    """Lightings of as many kinds as there are."""
    chosen: list[SampledLight] = []
    for k in range(100 * count):
        light = sample_light(
            np.random.default_rng([seed, k]), pack.hdris, "test" if split == "test" else "train"
        )
        turn = {kind: sum(c.kind == kind for c in chosen) for kind in {c.kind for c in chosen}}
        if turn.get(light.kind, 0) <= k // 20:
            chosen.append(light)
        if len(chosen) == count:
            break
    return chosen


def _head(
    pack: AssetPack,
    rasterizer: Rasterizer,
    lights: Sequence[SampledLight],
    arguments: argparse.Namespace,
    index: int,
) -> list[BgrImage]:
    """One person under all lights."""
    seed = arguments.seed + index
    figure = Figure(pack, sample_identity(seed, arguments.split))
    posed = figure.pose(Animation(seed, 30).pose(index % 30))
    camera = source_camera(arguments.size, posed.head[:3, 3])
    rasterizer.load(figure.parts)
    transfer = trace(figure.parts, posed)
    tiles = []
    for start in range(0, len(lights), LIGHTS):
        some = [light.radiance for light in lights[start : start + LIGHTS]]
        buffers = rasterizer.draw(posed, camera, transfer.light(posed, some))
        tiles += [_over(image, buffers.alpha) for image in buffers.images]
    return [_label(tile, str(index)) if k == 0 else tile for k, tile in enumerate(tiles)]


def _view_row(view: RenderedView) -> BgrImage:
    normal = view.normal.astype(np.float32)
    depth = view.depth
    seen = depth[depth > 0]
    near, far = (seen.min(), seen.max()) if seen.size else (0.0, 1.0)
    shown = np.where(depth > 0, 1 - 0.8 * (depth - near) / max(far - near, 1e-3), 0)
    albedo, alpha = view.albedo.astype(np.float32), view.alpha.astype(np.float32)
    shading = view.shading.astype(np.float32) * (alpha > 0.02)[..., None] * 0.5
    landmarks = _photo(view, 0)
    for x, y in view.landmarks[:, :2]:
        place = round(float(x - 0.5) * 16), round(float(y - 0.5) * 16)
        cv2.circle(landmarks, place, 12, (0, 255, 0), -1, cv2.LINE_AA, 4)
    tiles = {
        "source": _photo(view, 0),
        "target": _photo(view, 1),
        "albedo": _encode(albedo),
        "shading": _encode(shading[0]),
        "target shading": _encode(shading[1]),
        "specular": _encode(view.specular[0].astype(np.float32) * 2),
        "normal": _plain(
            (normal + 1) * np.where(alpha[..., None] > 0.02, 0.5, 0).astype(np.float32)
        ),
        "depth": _grey(shown),
        "alpha": _grey(alpha),
        "labels": _COLOURS[np.minimum(view.labels, len(Label) - 1)],
        "landmarks": landmarks,
    }
    return np.concatenate([_label(tile, name) for name, tile in tiles.items()], axis=1)


def _photo(view: RenderedView, light: int) -> BgrImage:
    return _over(view.images[light].astype(np.float32), view.alpha.astype(np.float32))


def _over(linear: FloatArray, alpha: Map) -> BgrImage:
    """Before a dark grey wall."""
    return _encode(linear * 0.75 + (1 - alpha[..., None]) * 0.04)


def _encode(linear: FloatArray) -> BgrImage:
    return _plain(encode_srgb(linear))


def _plain(rgb: FloatArray) -> BgrImage:
    return np.ascontiguousarray(np.clip(rgb[..., ::-1] * 255 + 0.5, 0, 255).astype(np.uint8))


def _grey(values: Map) -> BgrImage:
    return _plain(np.repeat(np.asarray(values)[..., None], 3, axis=2))


def _flow(flow: FloatArray) -> BgrImage:
    """Direction as hue, length as brightness."""
    length = np.hypot(flow[..., 0], flow[..., 1])
    angle = np.arctan2(flow[..., 1], flow[..., 0]) / math.pi * 90 + 90
    most = max(float(length.max()), 1e-3)
    hsv = np.stack([angle, np.full_like(angle, 255), length / most * 255], -1)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR), np.uint8)


def _map(light: LightMap, size: int) -> BgrImage:
    """The lighting, and a white ball under it."""
    image = np.zeros((size, size, 3), np.float32)
    flat = cv2.resize(light / math.pi, (size, size // 2), interpolation=cv2.INTER_NEAREST)
    image[: size // 2] = flat
    side = size // 2
    y, x = np.mgrid[0:side, 0:side]
    across, up = (x + 0.5) / side * 2 - 1, 1 - (y + 0.5) / side * 2
    ahead = np.sqrt(np.clip(1 - across**2 - up**2, 0, 1))
    normals = np.stack([across, up, ahead], -1)
    directions, angle = map_directions()
    weights = np.clip(normals.reshape(-1, 3) @ directions.reshape(-1, 3).T, 0, None)
    ball = weights @ (light * angle[..., None]).reshape(-1, 3) / math.pi
    image[size - side :, :side] = ball.reshape(side, side, 3) * (ahead > 0)[..., None] * 0.8
    return _encode(image)


def _label(tile: BgrImage, text: str) -> BgrImage:
    tile = np.ascontiguousarray(tile)
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(tile, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, thickness)
    return tile


def _write(path: Path, image: BgrImage) -> None:
    done, encoded = cv2.imencode(".png", image)
    if not done:
        raise ValueError(f"{path} could not be encoded")
    path.write_bytes(encoded.tobytes())
