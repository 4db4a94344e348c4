"""Figures of quality on two rendered people, so that a change of image is seen.

A change that is meant comes with new figures: run this file, and look at the images first.
"""

from collections.abc import Iterator
from contextlib import closing

import pytest

from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.pool import EnginePool
from vcam_relight.pipeline.evaluate.cases import make_cases
from vcam_relight.pipeline.evaluate.ground_truth import load_subjects
from vcam_relight.pipeline.evaluate.method import EngineMethod
from vcam_relight.pipeline.evaluate.stills import StillMeter
from vcam_relight.pipeline.face.tracker import FaceTracker

GOLDEN_DB = {
    ("geometry", "mitsuba"): 19.93,
    ("geometry", "cycles"): 22.60,
    ("triplane", "mitsuba"): 23.02,
    ("triplane", "cycles"): 24.64,
}
"""PSNR of the relit person against the rendered one, for the first person of each renderer."""

TOLERANCE_DB = 0.2
"""Processors and releases of torch round differently; what eyes notice changes more."""


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool() as made:
        yield made


@pytest.mark.parametrize(("engine", "renderer"), GOLDEN_DB)
def test_the_figures_are_those_that_were(pool: EnginePool, engine: str, renderer: str) -> None:
    index, subject = next(
        (index, one) for index, one in enumerate(load_subjects()) if one.renderer == renderer
    )
    with closing(FaceTracker(StageTimer())) as tracker:
        (case,) = make_cases(subject, index, 1, tracker)
        method = EngineMethod(pool.get(engine))
        measured = StillMeter(tracker, None).measure(method.predict(case), case)["psnr_db"]
    assert measured == pytest.approx(GOLDEN_DB[engine, renderer], abs=TOLERANCE_DB)
