"""Portraits: what choosing a preset will look like, from what is known of the head already."""

from contextlib import closing

import numpy as np
import pytest

from support.demo import demo_frames
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.registry import load_engine
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.head.crop import HeadCrop
from vcam_relight.pipeline.head.pose import HeadFinder
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter

PRESETS = load_presets()[0]
LOOKS = ("off", "key-left", "key-right", "rim", "golden-hour", "neon-duo", "candle")


def small(image: BgrImage) -> FloatArray:
    """What is compared."""
    return np.asarray(resize(image, (32, 32)), np.float32)


@pytest.mark.parametrize("name", ["triplane", "geometry"])
def test_each_portrait_looks_like_the_frame_that_the_preset_makes(name: str) -> None:
    frame = demo_frames(1)[0]
    with closing(FaceTracker(StageTimer())) as tracker:
        crop = HeadCrop.of(HeadFinder().find(tracker.still(frame).faces[0].landmarks))
    with Relighter(load_engine(name, "cpu")) as relighter:
        off = PRESETS["off"]
        relighter.process(frame, 0.0, off.lighting(), off.controls)
        portrait = relighter.portrait(frame, 0.0)  # nobody was looked for in that frame
        assert portrait is not None
        shown, made = [], []
        for look in LOOKS:
            lighting, controls = PRESETS[look].lighting(), PRESETS[look].controls
            shown.append(small(portrait.under(lighting, controls)))
            made.append(small(crop.cut(relighter.still(frame, lighting, controls), 128)))
    distance = np.array([[np.abs(a - b).mean() for b in made] for a in shown])
    assert (distance.argmin(axis=1) == np.arange(len(LOOKS))).all()
    assert distance.diagonal().max() < 10


def test_asking_for_portraits_changes_no_frame() -> None:
    played = []
    for asks in (False, True):
        with Relighter(load_engine("triplane")) as relighter:
            rim = PRESETS["rim"]
            for index, frame in enumerate(demo_frames(6)):
                image = relighter.process(frame, index / 30, rim.lighting(), rim.controls)
                if asks:
                    assert relighter.portrait(frame, index / 30) is not None
            played.append(image)
    assert np.array_equal(*played)


def test_without_anybody_there_is_no_portrait() -> None:
    with Relighter(load_engine("triplane")) as relighter:
        rim = PRESETS["rim"]
        for index, frame in enumerate([*demo_frames(2), np.zeros_like(demo_frames(1)[0])]):
            relighter.process(frame, index * 30.0, rim.lighting(), rim.controls)
        assert relighter.portrait(frame, 60.0) is None
