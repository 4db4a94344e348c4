"""The light stage's people: their assets, identities, figures and animations."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from support.stage import require
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.animation.animation import Animation
from vcam_relight.pipeline.lightstage.animation.pose import Pose
from vcam_relight.pipeline.lightstage.assets.asset_pack import (
    MAX_BYTES,
    AssetPack,
    default_pack_path,
)
from vcam_relight.pipeline.lightstage.assets.makehuman import apply_target
from vcam_relight.pipeline.lightstage.core.scene import Label, Posed
from vcam_relight.pipeline.lightstage.core.wavefront import triangulate
from vcam_relight.pipeline.lightstage.person.eyes import Eyes, Lids
from vcam_relight.pipeline.lightstage.person.figure import Figure
from vcam_relight.pipeline.lightstage.person.identity import Identity, sample_identity
from vcam_relight.pipeline.lightstage.person.shape import neutral_base
from vcam_relight.pipeline.lightstage.person.skeleton import vertex_normals
from vcam_relight.pipeline.lightstage.surface.skin import ITA_BINS

require("embreex")

from embreex.mesh_construction import TriangleMesh  # noqa: E402
from embreex.rtcore_scene import EmbreeScene  # noqa: E402

SHUT_RADII = 0.05

SUNKEN_DM = 0.005

FRAME_STEP_DM = 0.6

NEUTRAL = Pose()
CAMERA = np.array([0, 0, 7.5], np.float32)


@pytest.fixture(scope="module")
def figures(pack: AssetPack) -> list[Figure]:
    """People with hair of several styles and nothing on it."""
    chosen: dict[str | None, Identity] = {}
    for seed in range(40):
        identity = sample_identity(seed)
        if identity.headwear is None and identity.hair in ("long01", "short02", "ponytail01"):
            chosen.setdefault(identity.hair, identity)
    assert len(chosen) == 3
    return [Figure(pack, identity) for identity in chosen.values()]


def _scene(*meshes: tuple[FloatArray, np.ndarray]) -> EmbreeScene:
    scene = EmbreeScene()
    for positions, triangles in meshes:
        TriangleMesh(scene, np.ascontiguousarray(positions, np.float32), triangles.astype(np.int32))
    return scene


def _hits(scene: EmbreeScene, origins: FloatArray, directions: FloatArray) -> np.ndarray:
    found: np.ndarray = scene.run(
        np.ascontiguousarray(origins, np.float32),
        np.ascontiguousarray(directions, np.float32),
        query="OCCLUDED",
    )
    return found >= 0


def test_same_seed_gives_the_same_person(pack: AssetPack, figures: list[Figure]) -> None:
    again = Figure(pack, sample_identity(figures[0].identity.seed))
    for mine, theirs in zip(
        figures[0].pose(NEUTRAL).positions, again.pose(NEUTRAL).positions, strict=True
    ):
        assert np.array_equal(mine, theirs)
    for one, other in zip(figures[0].parts, again.parts, strict=True):
        assert np.array_equal(one.texture, other.texture)
    assert sample_identity(3) != sample_identity(4)
    assert sample_identity(3, "train") != sample_identity(3, "test")


def test_people_are_balanced() -> None:
    people = [sample_identity(seed) for seed in range(1000, 1200)]
    assert 90 <= sum(person.gender >= 0.5 for person in people) <= 110
    tones = Counter(
        next(k for k, (low, high) in enumerate(ITA_BINS) if low <= person.skin.ita < high)
        for person in people
    )
    assert set(tones) == set(range(6))
    assert min(tones.values()) >= 28
    assert max(tones.values()) <= 39
    ages = np.array([person.age for person in people])
    assert 0.3 < (ages < 0.33).mean() < 0.5
    assert (ages > 0.66).mean() > 0.2
    styles = Counter(person.hair for person in people)
    assert min(styles.values()) >= 8
    assert max(styles.values()) < 50
    fair = sum(sum(person.hair_colour) > 0.4 for person in people)
    assert 40 < fair < 120


def test_test_people_and_lights_are_kept_apart(pack: AssetPack) -> None:
    def looks(split: str) -> set[tuple[str | None, str]]:
        drawn = [sample_identity(seed, split) for seed in range(300)]  # type: ignore[arg-type]
        return {(person.hair, person.photograph) for person in drawn}

    train, test = looks("train"), looks("test")
    assert not train & test
    assert len(test) > 10
    test_split = {item.name for item in pack.hdris if item.split == "test"}
    assert 5 <= len(test_split) <= 8
    assert len(pack.hdris) >= 24


def _pupils(eyes: Eyes) -> tuple[FloatArray, FloatArray]:
    """Points before the pupils and the middles of the irises' halves, `(2, 5, 3)`, of eyes that
    look ahead, and the directions from there to the camera."""
    spots = np.array([(0, 0), (0.09, 0), (-0.09, 0), (0, -0.09), (0, 0.09)]) * 2
    offsets = np.column_stack([spots, np.sqrt(1.2 - (spots**2).sum(1))])
    points = eyes.centres[:, None] + eyes.radii[:, None, None] * offsets
    camera = CAMERA + eyes.centres.mean(0)
    directions = camera - points
    return points, directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def test_irises_are_seen_and_blinks_hide_them(pack: AssetPack) -> None:
    lids = Lids(pack.base)
    skin = triangulate(pack.base.faces[(pack.base.groups == "body") & ~pack.base.cavity])
    blinks = pack.face_units["eyeBlinkLeft"], pack.face_units["eyeBlinkRight"]
    ahead = np.array([0, 0, 1], np.float32)
    for seed in range(30):
        neutral = neutral_base(pack, sample_identity(seed), lids)
        eyes = Eyes.of(pack.base, neutral)
        points, directions = _pupils(eyes)
        hidden = _hits(_scene((neutral, skin)), points.reshape(-1, 3), directions.reshape(-1, 3))
        per_eye = hidden.reshape(2, 5)
        assert not per_eye[:, 0].any(), f"pupil of {seed}"
        assert (per_eye.sum(1) <= 1).all(), f"iris of {seed}"
        shut = neutral.copy()
        for unit, factor in zip(blinks, lids.closing(neutral, blinks), strict=True):
            apply_target(shut, unit, factor)
        lids.clear(shut, eyes, ahead)
        for side in range(2):
            high, low = lids.opening(shut, side, eyes)
            assert high - low < SHUT_RADII, f"blink of {seed}"


def test_irises_stay_seen_while_people_act(figures: list[Figure], pack: AssetPack) -> None:
    skin = triangulate(pack.base.faces[(pack.base.groups == "body") & ~pack.base.cavity])
    seen = frames = 0
    for seed, figure in enumerate(figures):
        animation = Animation(seed + 5, 32)
        iris = [part.name for part in figure.parts].index("eyes")
        for index in range(0, 32, 4):
            pose = animation.pose(index)
            closed = max(pose.expression.get(f"eyeBlink{side}", 0) for side in ("Left", "Right"))
            if closed > 0.1 or np.abs(pose.head[1]) > 0.4:
                continue
            frames += 1
            posed = figure.pose(pose)
            middle = _iris_middle(figure, posed, iris)
            rays = CAMERA - middle
            hidden = _hits(
                _scene((figure.base(pose), skin)),
                middle + 0.02 * rays / np.linalg.norm(rays, axis=1, keepdims=True),
                rays,
            )
            seen += not hidden.any()
    assert frames >= 8
    assert seen == frames


def _iris_middle(figure: Figure, posed: Posed, part: int) -> FloatArray:
    """The corneas' most protruding points `(2, 3)`: before the pupils."""
    rest = figure.pose(NEUTRAL).positions[part]
    left = rest[:, 0] > 0
    rows = []
    for side in (left, ~left):
        index = np.flatnonzero(side)
        middle = rest[index].mean(0)[:2]
        front = index[rest[index, 2] > rest[index, 2].max() - 0.06]
        rows.append(front[np.argmin(np.linalg.norm(rest[front, :2] - middle, axis=1))])
    result: FloatArray = posed.positions[part][rows]
    return result


def _depth_below_skin(figure: Figure, name: str) -> FloatArray:
    """How far each vertex of a part lies below the nearest skin, dm."""
    head = figure.head_shape
    faces = head.faces[head.groups == "body"]
    normals = vertex_normals(head.positions, triangulate(faces))
    shares = [(a * b, a * (1 - b), (1 - a) * (1 - b), (1 - a) * b)
              for a in (0.1, 0.5, 0.9) for b in (0.1, 0.5, 0.9)]  # fmt: skip
    points = np.einsum("sk,fkc->fsc", shares, head.positions[faces]).reshape(-1, 3)
    around = np.einsum("sk,fkc->fsc", shares, normals[faces]).reshape(-1, 3)
    part = [part.name for part in figure.parts].index(name)
    placed = figure.pose(NEUTRAL).positions[part] + head.eyes.mean(0)
    _, nearest = cKDTree(points).query(placed)
    height: FloatArray = ((placed - points[nearest]) * around[nearest]).sum(1)
    return -height


def test_hair_and_brows_lie_on_the_skin(figures: list[Figure]) -> None:
    for figure in figures:
        assert _depth_below_skin(figure, "hair").max() < SUNKEN_DM, figure.identity.hair
        assert _depth_below_skin(figure, "brows").max() < SUNKEN_DM


def test_scalp_under_hair_has_its_colour(figures: list[Figure], pack: AssetPack) -> None:
    """No skin shines through between strands."""
    regions = pack.regions
    for figure in figures:
        scalp = regions.read(figure.parts[0].texture)[regions.masks["scalp"] > 0.98, :3]
        face = regions.read(figure.parts[0].texture)[regions.masks["cheeks"] > 0.5, :3]
        roots = np.array(figure.identity.skin.scalp)
        toward = np.median(scalp, axis=0).astype(float) - np.median(face, axis=0)
        wanted = 255 * roots ** (1 / 2.2) - np.median(face, axis=0)
        assert toward @ wanted / (wanted @ wanted) > 0.6, figure.identity.seed


def test_clothes_close_around_the_neck(figures: list[Figure]) -> None:
    """Looking at chin, neck and chest there is skin or cloth everywhere."""
    x, y = np.meshgrid(np.linspace(-0.3, 0.3, 41), np.linspace(-1.9, -1.1, 61))
    aims = np.stack([x.ravel(), y.ravel(), np.full(x.size, -0.3)], 1)
    for figure in figures:
        for yaw in (-0.5, 0.0, 0.5):
            posed = figure.pose(Pose(head=np.array([0.1, yaw, 0], np.float32)))
            scene = _scene(
                *(
                    (positions, part.source[part.triangles])
                    for part, positions in zip(figure.parts, posed.positions, strict=True)
                    if part.label in (Label.SKIN, Label.CLOTHES)
                )
            )
            origins = np.tile(CAMERA, (len(aims), 1))
            assert _hits(scene, origins, aims - origins).all(), figure.identity.clothing.garment


def test_skin_moves_smoothly(figures: list[Figure]) -> None:
    for seed in range(6):
        figure, animation = figures[seed % len(figures)], Animation(seed, 32)
        placed = [figure.pose(animation.pose(index)).positions[0] for index in range(12)]
        steps = [np.abs(b - a).max() for a, b in pairwise(placed)]
        assert max(steps) < FRAME_STEP_DM
        assert max(steps) > 0.001, "nobody sits still"


def test_figure_is_small_enough_to_draw_quickly(figures: list[Figure]) -> None:
    for figure in figures:
        assert sum(len(part.triangles) for part in figure.parts) < 36_000
        assert sum(len(p) for p in figure.pose(NEUTRAL).positions) < 20_000


def test_pack_is_small_and_holds_its_notices(pack: AssetPack) -> None:
    assert default_pack_path().stat().st_size <= MAX_BYTES
    for words in ("CC0", "MIT License", "ICT-FaceKit", "MakeHuman"):
        assert words in pack.notices, words


def test_unsound_packs_are_refused_in_one_line(pack: AssetPack, tmp_path: Path) -> None:
    missing = tmp_path / "missing.npz"
    cut = tmp_path / "cut.npz"
    cut.write_bytes(default_pack_path().read_bytes()[:300_000])
    spoilt = tmp_path / "spoilt.npz"
    data = bytearray(default_pack_path().read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    spoilt.write_bytes(data)
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, format=np.array([{"a": 1}], dtype=object))
    other = tmp_path / "other.npz"
    np.savez(other, format=np.int32(99))
    for path in (missing, cut, spoilt, pickled, other):
        with pytest.raises(
            OSError, match=r"python -m vcam_relight\.pipeline\.lightstage pack"
        ) as caught:
            AssetPack.open(path)
        assert "\n" not in str(caught.value), path.name
        assert path.name in str(caught.value)


def test_command_says_what_is_missing(tmp_path: Path) -> None:
    empty = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "vcam_relight.pipeline.lightstage", "pack",
         "--makehuman", empty, "--ict", empty,
         "--hdri", empty, "--anny", empty, "--out", str(tmp_path / "pack.npz")],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "base.obj" in done.stderr
    assert not (tmp_path / "pack.npz").exists()
