"""Whoever sits in a dark room is seen: light is added, and what it lifts is denoised."""

from collections.abc import Iterator
from contextlib import closing

import cv2
import numpy as np
import pytest

from support.demo import demo_frames
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.pool import EnginePool
from vcam_relight.pipeline.evaluate.metrics import Mask
from vcam_relight.pipeline.evaluate.rooms import CLEAN, ROOMS, Room, in_room
from vcam_relight.pipeline.evaluate.skin_meter import SkinMeter
from vcam_relight.pipeline.evaluate.stills import Metrics
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter

PRESETS, _ = load_presets()
FLATTERING = (
    "soft-front", "key-left", "key-right", "butterfly", "window", "golden-hour", "cool-office",
)  # fmt: skip


@pytest.fixture(scope="module", params=["geometry", "triplane"])
def relighter(request: pytest.FixtureRequest) -> Iterator[Relighter]:
    with EnginePool() as pool, Relighter(pool.get(request.param)) as made:
        yield made


@pytest.fixture(scope="module")
def portrait() -> SkinMeter:
    """The demo's face in good light, at a size that is quickly denoised."""
    frame = np.asarray(cv2.resize(demo_frames(1)[0], (640, 360), interpolation=cv2.INTER_AREA))
    with closing(FaceTracker(StageTimer())) as tracker:
        meter = SkinMeter.of(
            np.asarray(frame, np.uint8), tracker.still(np.asarray(frame, np.uint8))
        )
    assert meter is not None
    return meter


def lit(relighter: Relighter, portrait: SkinMeter, room: Room, preset: str) -> Metrics:
    image = in_room(portrait.image, room, seed=0)
    chosen = PRESETS[preset]
    return portrait.measure(relighter.still(image, chosen.lighting(), chosen.controls))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_auto_brings_a_face_back_from_a_room(
    relighter: Relighter, portrait: SkinMeter, room: Room
) -> None:
    before = portrait.measure(in_room(portrait.image, room, seed=0))
    after = lit(relighter, portrait, room, "auto")
    error, level = after["skin_error"], after["luminance_ratio"]
    assert error is not None and level is not None and before["skin_error"] is not None
    assert error < 0.5 * before["skin_error"] and 0.7 < level < 1.3


@pytest.mark.parametrize("preset", ["soft-front", "key-left"])
def test_a_light_is_as_bright_in_a_dark_room_as_in_a_bright_one(
    relighter: Relighter, portrait: SkinMeter, preset: str
) -> None:
    bright, dark = (
        lit(relighter, portrait, room, preset)["luminance_ratio"] for room in (CLEAN, ROOMS[0])
    )
    assert bright is not None and dark is not None
    assert 0.8 < dark / bright < 1.25


@pytest.mark.parametrize("preset", FLATTERING)
def test_lights_made_to_flatter_leave_no_face_darker(
    relighter: Relighter, portrait: SkinMeter, preset: str
) -> None:
    level = lit(relighter, portrait, CLEAN, preset)["luminance_ratio"]
    assert level is not None and level > 1.0


def test_a_face_in_good_light_stays_as_it_is_under_auto(
    relighter: Relighter, portrait: SkinMeter
) -> None:
    shown = relighter.still(portrait.image, PRESETS["auto"].lighting(), RelightSettings())
    assert np.abs(shown.astype(int) - portrait.image).max() <= 2


def test_a_mask_over_half_of_a_face_is_no_coloured_light(
    relighter: Relighter, portrait: SkinMeter
) -> None:
    masked, rows = portrait.image.copy(), np.flatnonzero(portrait.skin.any(axis=1))
    lower = portrait.skin.copy()
    lower[: int(np.percentile(rows, 45))] = False
    masked[lower] = (200, 150, 90)
    shown = relighter.still(masked, PRESETS["auto"].lighting(), RelightSettings())
    change = (shown[portrait.skin].astype(float) + 8) / (masked[portrait.skin] + 8)
    assert np.ptp(change.mean(axis=0)) < 0.1, "its colours stay what they are to one another"


def test_what_is_lifted_is_denoised_more_from_frame_to_frame_and_does_not_smear(
    relighter: Relighter, portrait: SkinMeter
) -> None:
    dark = ROOMS[0]
    film = [in_room(portrait.image, dark, seed) for seed in range(12)]
    auto = PRESETS["auto"].lighting()
    relighter.reset()
    shown = [
        relighter.process(image, index / 30, auto, RelightSettings())
        for index, image in enumerate(film)
    ]
    assert trembling(shown[8:], portrait.skin) < 0.5 * LIFTED * trembling(film[8:], portrait.skin)
    # Someone else's frame: where it does not agree, nothing of the one before is left.
    other = np.ascontiguousarray(in_room(portrait.image[:, ::-1], dark, seed=20))
    after = relighter.process(other, 12 / 30, auto, RelightSettings())
    fresh = relighter.still(other, auto, RelightSettings())
    assert cv2.PSNR(after, fresh) > 30


LIFTED = 2.5
"""Encoded values over those of the dark room, after a lift of about 9."""


def trembling(images: list[BgrImage], skin: Mask) -> float:
    """Standard deviation of the luma of each pixel of the skin over time."""
    lumas = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[skin] for image in images]
    return float(np.std(np.asarray(lumas, np.float32), axis=0).mean())
