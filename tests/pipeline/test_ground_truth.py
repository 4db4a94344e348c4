"""The rendered ground truth that comes with the project: what it says of light is so."""

import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from vcam_relight.pipeline.core.color import encode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.evaluate.cases import tone_name
from vcam_relight.pipeline.evaluate.ground_truth import (
    DATA,
    OLAT,
    RenderedSubject,
    load_subjects,
    save_subject,
)
from vcam_relight.pipeline.evaluate.ground_truth_video import decode_images, encode_images
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.lighting.light_map import sphere_directions
from vcam_relight.pipeline.lighting.sh import dominant_direction, irradiance

LIGHT_DEG = 25.0
"""Between a light's dominant direction and that of SH fitted to shading on the visible half of
normals, which leaves cast shadows and highlights in."""

STORED_DB = 45.0
"""PSNR on the person of lightings of a stored one-light-at-a-time set against the rendered one."""


@pytest.fixture(scope="module")
def subjects() -> list[RenderedSubject]:
    return load_subjects()


@pytest.fixture(scope="module")
def stacks(subjects: list[RenderedSubject]) -> list[RenderedSubject]:
    return [subject for subject in subjects if subject.renderer == "mitsuba"]


def brightness(image: FloatArray) -> FloatArray:
    return np.asarray(image.mean(axis=-1))


def test_the_set_is_complete_balanced_and_small(subjects: list[RenderedSubject]) -> None:
    kinds = Counter(subject.renderer for subject in subjects)
    assert kinds["mitsuba"] == 20 and kinds["cycles"] >= 6
    tones = Counter(tone_name(s.tone) for s in subjects if s.renderer == "mitsuba")
    assert len(tones) == 6 and min(tones.values()) >= 3
    women = sum(s.description["gender"] < 0.5 for s in subjects if s.renderer == "mitsuba")
    assert women == 10
    for trait in ("glasses", "headwear", "beard"):
        assert sum(s.description[trait] is not None for s in subjects) >= 3
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 18_000_000
    for subject in subjects:
        assert len(subject.lights) >= (8 if subject.renderer == "mitsuba" else 4)
        assert subject.alpha.shape == (256, 256)


def test_every_face_is_found_where_the_person_is(subjects: list[RenderedSubject]) -> None:
    tracker = FaceTracker(StageTimer())
    for subject in subjects:
        light = "soft front" if "soft front" in subject.lights else subject.lights[1]
        image = subject.lit(light) + 0.2 * (1 - subject.alpha[..., None])
        coded = np.round(encode_srgb(image[..., ::-1]) * 255).astype(np.uint8)
        faces = tracker.still(np.ascontiguousarray(coded)).faces
        assert len(faces) == 1, subject.name
        x, y = faces[0].landmarks[:, :2].astype(int).T.clip(0, 255)
        assert (subject.alpha[y, x] > 0.5).mean() > 0.9, subject.name


def test_a_light_from_the_right_lights_the_right_side(subjects: list[RenderedSubject]) -> None:
    """Right is right in the unmirrored image, for both renderers."""
    for subject in subjects:
        right, left = (brightness(subject.lit(f"key {side}")) for side in ("right", "left"))
        x = subject.normal[..., 0] * subject.alpha
        assert right[x > 0.5].mean() > 3 * left[x > 0.5].mean(), subject.name
        assert left[x < -0.5].mean() > 3 * right[x < -0.5].mean(), subject.name


def test_one_light_at_a_time_adds_up(stacks: list[RenderedSubject]) -> None:
    subject = stacks[-1]
    first, second = (np.zeros((OLAT, 3), np.float32) for _ in range(2))
    first[5], second[40] = (1, 2, 3), (0.5, 0, 0.25)
    together = subject.relit(first + second)
    np.testing.assert_allclose(together, subject.relit(first) + subject.relit(second), atol=1e-5)
    # and each of them is the light it claims to be: the surface that faces it is the brightest
    for index in np.argsort(-sphere_directions(OLAT)[:, 2])[:12]:
        lobes = np.zeros((OLAT, 3), np.float32)
        lobes[index] = 1
        image = brightness(subject.relit(lobes)) / np.maximum(brightness(subject.albedo), 0.02)
        sure = (subject.alpha > 0.99) & (brightness(subject.albedo) > 0.1)
        towards = sphere_directions(OLAT)[index]
        bright = sure & (image > np.quantile(image[sure], 0.9))
        assert np.mean(subject.normal[bright] @ towards) > 0.8


def test_albedo_normals_and_light_explain_the_image(stacks: list[RenderedSubject]) -> None:
    """Least squares of SH lighting on skin gives back the direction that the light came from."""
    for subject in stacks[::4]:
        person = (subject.alpha > 0.99) & (brightness(subject.albedo) > 0.05)
        person = cv2.erode(person.astype(np.uint8), np.ones((5, 5))) > 0
        normals = subject.normal[person]
        for light in ("key left", "key right", "soft front"):
            shading = brightness(subject.lit(light))[person] / brightness(subject.albedo)[person]
            functions = irradiance(np.eye(9, dtype=np.float32), normals) / np.pi
            ridge = 0.02 * len(normals) * np.eye(9, dtype=np.float32)
            found = np.linalg.solve(functions.T @ functions + ridge, functions.T @ shading)
            asked = dominant_direction(subject.sh(light))
            cosine = float(dominant_direction(np.repeat(found[:, None], 3, 1)) @ asked)
            assert np.degrees(np.arccos(cosine)) < LIGHT_DEG, subject.name


def test_damage_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"lights\.npz: no such file"):
        load_subjects(tmp_path)
    shutil.copy(DATA / "lights.npz", tmp_path)
    with pytest.raises(OSError, match="no subjects"):
        load_subjects(tmp_path)
    whole = min(DATA.glob("mitsuba-*.npz")).read_bytes()
    (tmp_path / "mitsuba-0000.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match=r"mitsuba-0000\.npz"):
        load_subjects(tmp_path)
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 0xFF
    (tmp_path / "mitsuba-0000.npz").write_bytes(broken)
    with pytest.raises(OSError, match=r"mitsuba-0000\.npz"):
        subject = load_subjects(tmp_path)[0]
        subject.lit("top")


def test_what_is_stored_is_what_was_rendered(tmp_path: Path) -> None:
    """Lightings of a decoded set against the undecoded, on a set with noise and sharp edges."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[-1:1:64j, -1:1:64j].astype(np.float32)
    inside = x * x + y * y < 0.8
    z = np.sqrt(np.maximum(1 - x * x - y * y, 0))
    normal = np.stack([x, -y, z], -1) * inside[..., None]
    albedo = (0.2 + 0.3 * rng.random((64, 64, 3))).astype(np.float32) * inside[..., None]
    cosine = np.maximum(normal @ sphere_directions(OLAT).T, 0)
    stack = np.moveaxis(cosine, -1, 0)[..., None] * albedo / np.float32(np.pi)
    stack = stack.astype(np.float32)
    path = tmp_path / "mitsuba-0000.npz"
    layers = (inside.astype(np.float32), normal, albedo)
    save_subject(path, "mitsuba", 30.0, {}, ("top", "key left"), stack, layers, crf=0)
    shutil.copy(DATA / "lights.npz", tmp_path)
    subject = load_subjects(tmp_path)[0]
    for light in subject.lights:
        whole = np.einsum("lc,lhwc->hwc", subject.named[light].lobes, stack)
        error = (subject.lit(light) - whole)[inside]
        assert -10 * np.log10(np.mean(error**2)) > STORED_DB
    np.testing.assert_allclose(subject.normal[inside], normal[inside], atol=0.01)
    np.testing.assert_allclose(subject.albedo, albedo, atol=0.01)


def test_lossless_video_keeps_twelve_bits() -> None:
    images = np.random.default_rng(0).random((3, 16, 32, 3)).astype(np.float32)
    decoded = decode_images(encode_images(images, None))
    assert np.abs(np.sqrt(decoded) - np.sqrt(images)).max() < 2e-3
