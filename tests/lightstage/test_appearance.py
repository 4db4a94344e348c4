"""Skins, beards, glasses and head coverings of the light stage's people."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vcam_relight.pipeline.core.color import DECODE_8BIT, LUMINANCE_RGB
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.animation.pose import Pose
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack
from vcam_relight.pipeline.lightstage.core.regions import Regions
from vcam_relight.pipeline.lightstage.core.scene import Texture
from vcam_relight.pipeline.lightstage.core.wavefront import triangulate
from vcam_relight.pipeline.lightstage.person.figure import Figure
from vcam_relight.pipeline.lightstage.person.identity import sample_identity
from vcam_relight.pipeline.lightstage.person.skeleton import vertex_normals
from vcam_relight.pipeline.lightstage.surface import facial_hair, skin
from vcam_relight.pipeline.lightstage.wear import glasses, headwear
from vcam_relight.pipeline.lightstage.wear.accessories import HeadShape

ITA_DEG = 0.5
"""Typology angle of a painted skin against the one asked for: solved in linear light, stored in
8 bits, whose step is up to 0.6 degrees in one pixel of dark skin but averages out."""

BEARD_SPILL = 0.03
"""Of the luminance off a beard's regions: texels there are untouched, lips take its faint edge."""

SEAM_CODES = 4.0
"""8-bit codes between both sides of a texture seam, for 95 of 100 of its vertices (2.4 was
measured): the islands show the same place with texels of different size, and skin is dithered by
one code."""

FRAME_TOUCH_DM = 0.02
"""How far frames of glasses may press into the skin at the temples: 2 mm, skin gives."""

BAKED_SHADING = 0.1
"""Of the luminance beside the nose against that of the cheeks, 0.6 to 0.76 in the photographs:
creases finer than the mesh's faces stay, for they are also where wrinkles and pores are."""

_HAIR = (0.012, 0.009, 0.008)


@pytest.fixture(scope="module")
def photograph(pack: AssetPack) -> Texture:
    return next(iter(pack.skins.values()))


def _appearance(ita: float, seed: int = 1) -> skin.SkinAppearance:
    rng = np.random.default_rng(seed)
    appearance = skin.sample_skin(rng, gender=1.0, age=0.4, hair=_HAIR)
    return replace(appearance, ita=ita, freckles=0.6)


@pytest.fixture(scope="module")
def head(pack: AssetPack) -> Callable[[int], HeadShape]:
    """Heads by seed; each is made once."""
    return cache(lambda seed: Figure(pack, sample_identity(seed)).head_shape)


def _luminance(texture: Texture, regions: Regions) -> FloatArray:
    result: FloatArray = DECODE_8BIT[regions.read(texture)[:, :3]] @ LUMINANCE_RGB
    return result


def _surface(head: HeadShape) -> tuple[FloatArray, FloatArray]:
    """Points of the skin, several a face, and their outward normals; without the lids' insides,
    which face the eyes: they may be the nearest to a lens, but never touch it."""
    faces = head.faces[head.groups == "body"]
    normals = vertex_normals(head.positions, triangulate(faces))
    shares = np.array([[a * b, a * (1 - b), (1 - a) * (1 - b), (1 - a) * b]
                       for a in (0.1, 0.5, 0.9) for b in (0.1, 0.5, 0.9)])  # fmt: skip
    points = np.einsum("sk,fkc->fsc", shares, head.positions[faces]).reshape(-1, 3)
    around = np.einsum("sk,fkc->fsc", shares, normals[faces]).reshape(-1, 3)
    from_eye = points[:, None] - head.eyes
    near = np.linalg.norm(from_eye, axis=2) < 0.35
    inner = (near & (np.einsum("nec,nc->ne", from_eye, around) < 0)).any(1)
    return points[~inner], around[~inner]


def _depth_inside(points: FloatArray, surface: tuple[FloatArray, FloatArray]) -> FloatArray:
    """How far (N,) dm `points` lie below the nearest skin; 0 outside."""
    skin_points, normals = surface
    _, nearest = cKDTree(skin_points).query(points)
    height = ((points - skin_points[nearest]) * normals[nearest]).sum(1)
    result: FloatArray = np.clip(-height, 0, None)
    return result


@pytest.mark.parametrize("low, high", skin.ITA_BINS)
def test_skin_has_the_tone_asked_for(
    pack: AssetPack, photograph: Texture, low: float, high: float
) -> None:
    asked = (low + high) / 2
    painted = skin.paint(photograph, pack.regions, _appearance(asked))
    assert skin.ita_degrees(painted, pack.regions) == pytest.approx(asked, abs=ITA_DEG)
    # Skin is neither grey nor orange: hue of CIELAB in the range that people have.
    mean = DECODE_8BIT[pack.regions.read(painted)[pack.regions.masks["cheeks"] > 0.5, :3]].mean(0)
    _, a, b = cv2.cvtColor(mean[None, None].astype(np.float32), cv2.COLOR_LRGB2LAB)[0, 0]
    assert 30 < np.degrees(np.arctan2(b, a)) < 70
    assert 9 < np.hypot(a, b) < 30


def test_sampled_people_cover_all_tones_alike() -> None:
    rng = np.random.default_rng(0)
    tones = [skin.sample_skin(rng, 0.0, 0.3, _HAIR).ita for _ in range(600)]
    for low, high in skin.ITA_BINS:
        assert 70 < sum(low <= tone < high for tone in tones) < 130


def test_same_look_gives_the_same_bytes(pack: AssetPack, photograph: Texture) -> None:
    beard = facial_hair.FacialHair(3, "full", _HAIR, 0.9, 0.3)

    def person(seed: int) -> bytes:
        painted = skin.paint(photograph, pack.regions, _appearance(20.0, seed))
        return facial_hair.paint(painted, pack.regions, beard).tobytes()

    assert person(5) == person(5)
    assert person(5) != person(6)


def test_baked_shading_is_gone(pack: AssetPack, photograph: Texture) -> None:
    """Sides of the nose and the eye sockets are no darker than the cheeks once painted plainly."""
    appearance = replace(
        _appearance(45.0), redness=0.0, blotches=0.0, freckles=0.0, moles=0, under_eyes=0.0
    )
    painted = skin.paint(photograph, pack.regions, appearance)
    x, y, z = pack.regions.places.T
    x = np.abs(x)
    beside_nose = (x > 0.14) & (x < 0.22) & (y > 7.05) & (y < 7.18) & (z > 1.2)
    cheeks = pack.regions.masks["cheeks"] > 0.6

    def ratio(texture: Texture) -> float:
        shades = _luminance(texture, pack.regions)
        return float(shades[beside_nose].mean() / shades[cheeks].mean())

    assert abs(np.log(ratio(painted))) < 0.5 * abs(np.log(ratio(photograph)))
    assert ratio(painted) == pytest.approx(1, abs=BAKED_SHADING)


def test_beard_darkens_its_region_and_nothing_else(pack: AssetPack, photograph: Texture) -> None:
    regions = pack.regions
    bare = skin.paint(photograph, regions, _appearance(48.0))
    masks = regions.masks
    for style in get_args(facial_hair.Style):
        beard = facial_hair.FacialHair(2, style, _HAIR, 0.85, 0.0)
        bearded = facial_hair.paint(bare, regions, beard)
        change = _luminance(bearded, regions) / _luminance(bare, regions)
        inner = {"moustache": masks["moustache"], "sideburns": masks["sideburns"]}.get(
            style, masks["chin"]
        )
        assert change[inner > 0.97].mean() < 0.6, style
        grown = np.max([masks[name] for name in ("moustache", "chin", "jaw", "sideburns")], axis=0)
        assert np.abs(change[grown == 0] - 1).max() < BEARD_SPILL, style
        assert np.abs(change[masks["lips"] > 0.9] - 1).max() < BEARD_SPILL, style


def test_no_seams(pack: AssetPack, photograph: Texture, head: Callable[[int], HeadShape]) -> None:
    """Where texture islands meet on the neck, both sides have the same colour."""
    shape = head(1)
    painted = skin.paint(
        photograph, pack.regions, replace(_appearance(40.0), blotches=1.0, scalp_cover=0.0)
    )
    beard = facial_hair.FacialHair(4, "full", _HAIR, 0.9, 0.2)
    painted = facial_hair.paint(painted, pack.regions, beard)
    body = shape.groups == "body"
    pairs = np.stack([shape.faces[body].ravel(), shape.uv_faces[body].ravel()], axis=1)
    pairs = np.unique(pairs, axis=0)
    first, counts = np.unique(pairs[:, 0], return_index=True, return_counts=True)[1:]
    shared = pairs[first[counts == 2]], pairs[first[counts == 2] + 1]
    colours = [_sample(painted, shape.uvs[side[:, 1]]) for side in shared]
    on_skin = _on_skin(pack.regions, shape, shared[0][:, 1]) & _on_skin(
        pack.regions, shape, shared[1][:, 1]
    )
    difference = np.abs(colours[0] - colours[1])[on_skin].max(1)
    assert on_skin.sum() > 40
    assert np.percentile(difference, 95) < SEAM_CODES


def _sample(texture: Texture, uvs: FloatArray) -> NDArray[np.float32]:
    """Bilinear colours (N, 3) in 8-bit codes."""
    size = texture.shape[0]
    x, y = (uvs[:, 0] * size - 0.5).astype(np.float32), ((1 - uvs[:, 1]) * size - 0.5)
    rgb = texture[..., :3].astype(np.float32)
    sampled = cv2.remap(rgb, x[None], y[None].astype(np.float32), cv2.INTER_LINEAR)
    result: NDArray[np.float32] = sampled[0]
    return result


def _on_skin(regions: Regions, head: HeadShape, uv_index: NDArray[np.int32]) -> NDArray[np.bool_]:
    inside = np.zeros((regions.size, regions.size), np.float32)
    inside.ravel()[regions.texels] = 1
    rgba = np.repeat(inside[..., None], 4, axis=2)
    result: NDArray[np.bool_] = _sample(rgba, head.uvs[uv_index])[:, 0] > 0.6  # type: ignore[arg-type]
    return result


def test_glasses_sit_before_the_eyes_and_outside_the_face(head: Callable[[int], HeadShape]) -> None:
    for seed, outline in enumerate(get_args(glasses.Outline)):
        rng = np.random.default_rng(seed)
        wearer = head(seed)
        pair = None
        while pair is None:
            pair = glasses.sample_glasses(rng, seed % 2, 0.5)
        accessories = glasses.make(replace(pair, outline=outline), wearer)
        frame, lenses = accessories[0], accessories[-1]
        surface = _surface(wearer)
        # Pads press on the nose and the tips lie behind the ears: both may touch.
        ears = wearer.eyes[:, 2].mean() - 0.6
        front = frame.positions[frame.positions[:, 2] > ears]
        deep = _depth_inside(front, surface)
        nose = np.abs(front[:, 0] - wearer.eyes[:, 0].mean()) < 0.12
        assert deep[~nose].max() < FRAME_TOUCH_DM, seed
        assert _depth_inside(lenses.positions, surface).max() == 0, seed
        for eye in wearer.eyes:
            offset = lenses.positions - eye
            before = np.hypot(offset[:, 0], offset[:, 1]) < 0.1
            assert offset[before, 2].min() > 0.2, seed
        assert frame.positions[:, 2].min() < ears, "temples reach the ears"


def test_head_coverings_enclose_the_scalp(head: Callable[[int], HeadShape]) -> None:
    kinds: tuple[headwear.Kind, ...] = ("beanie", "cap", "turban", "headscarf")
    for seed, kind in enumerate(kinds):
        wearer = head(seed)
        appearance = headwear.Headwear(seed, kind, _HAIR, _HAIR, "plain", 0.0)
        shell = headwear.make(appearance, wearer)[0].positions
        crown = wearer.positions[wearer.faces[wearer.groups == "body"]].mean(1)
        eye_y = wearer.eyes[:, 1].mean()
        behind = crown[:, 2] < crown[crown[:, 1] > eye_y + 0.7, 2].max() - 0.3
        crown = crown[(crown[:, 1] > eye_y + 0.7) & behind]
        centre = np.array([0, eye_y, crown[:, 2].mean()])
        outside, inside = shell - centre, crown - centre
        reach = np.linalg.norm(outside, axis=1)
        _, nearest = cKDTree(outside / reach[:, None]).query(
            inside / np.linalg.norm(inside, axis=1, keepdims=True)
        )
        assert (reach[nearest] > np.linalg.norm(inside, axis=1)).all(), kind
        face = np.hypot(shell[:, 0], shell[:, 1] - (eye_y - 0.1)) < 0.35
        assert not (face & (shell[:, 2] > wearer.eyes[:, 2].mean())).any(), f"{kind} over the face"


def test_headwear_is_shaded_without_a_seam(pack: AssetPack) -> None:
    beanie = headwear.Headwear(1, "beanie", _HAIR, _HAIR, "plain", 0.0)
    figure = Figure(pack, replace(sample_identity(1), headwear=beanie))
    index = [part.name for part in figure.parts].index("beanie")
    posed, source = figure.pose(Pose()), figure.parts[index].source
    places, normals = (a[index][source].astype(float) for a in (posed.positions, posed.normals))
    sides = np.array([pair for pair in cKDTree(places).query_pairs(1e-6)])
    assert len(sides) > 30
    assert np.abs(normals[sides[:, 0]] - normals[sides[:, 1]]).max() < 1e-6


def test_hair_that_would_stick_out_is_hidden() -> None:
    for kind in get_args(headwear.Kind):
        appearance = headwear.Headwear(0, kind, _HAIR, _HAIR, "plain", 0.0)
        assert appearance.hides_hair == (kind not in ("headband", "headphones"))
