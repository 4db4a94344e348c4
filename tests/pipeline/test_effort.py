"""A frame that is worth less work keeps its picture."""

from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest

from support.demo import demo_frames
from vcam_relight.pipeline.core.image import Map
from vcam_relight.pipeline.effort import EFFORTS, FULL
from vcam_relight.pipeline.engines.registry import load_engine
from vcam_relight.pipeline.face.person_mask import PersonMask, PersonMaskParams
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter

PRESETS, _ = load_presets()


@pytest.mark.parametrize("engine", ["geometry", "triplane"])
def test_no_change_of_effort_is_seen(engine: str) -> None:
    """Of a still picture, in a stream that goes down step by step and comes back."""
    frame, key = demo_frames(1)[0], PRESETS["key-left"]
    light, shown = key.lighting(), []
    way = [*EFFORTS[1:], *EFFORTS[-2::-1]]
    efforts = [FULL] * 10 + [effort for effort in way for _ in range(6)]
    with Relighter(load_engine(engine)) as relighter:
        for index, effort in enumerate(efforts):
            relighter.effort = effort
            shown.append(relighter.process(frame, index / 30, light, key.controls).astype(np.int16))
    assert float(np.abs(shown[9] - frame).mean()) > 5, "the light is seen"
    steps = [np.abs(after - before) for before, after in pairwise(shown[9:])]
    assert max(float(step.mean()) for step in steps) < 0.35
    # At outlines, where light bends, it may be a few levels.
    assert max(float(np.percentile(step, 99.8)) for step in steps) < 10
    assert np.abs(shown[-1] - shown[9]).mean() < 0.1


def test_a_mask_that_is_not_looked_for_goes_along_with_the_person() -> None:
    frame = demo_frames(1)[0]
    frames = [np.roll(frame, 12 * index, axis=1) for index in range(3)]

    def last_mask(params: PersonMaskParams) -> Map:
        with closing(PersonMask(params)) as person:
            for image in frames:
                person.begin(image, 1 / 30, 0, every=3)
                mask = person.finish(image, 0)
        return mask

    looked = last_mask(PersonMaskParams())  # as the picture moves that much
    carried = last_mask(PersonMaskParams(most_changed=1.0))
    held = last_mask(PersonMaskParams(most_changed=1.0, still=1e6))
    assert np.abs(carried - looked).mean() < 0.4 * np.abs(held - looked).mean()
