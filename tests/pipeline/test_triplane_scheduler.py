"""When the network looks at a head; nothing of a network is needed."""

from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from vcam_relight.pipeline.core.image import FloatArray, GrayImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.triplane.scheduler import (
    HeadSchedule,
    ScheduleParams,
    is_turn,
    select_heads,
)
from vcam_relight.pipeline.face.types import Face

PARAMS = ScheduleParams()
LEFT, RIGHT = (np.full((9, 3), side, np.float32) for side in (-1, 1))
STILL, MOVED = (np.full((8, 8), level, np.uint8) for level in (100, 110))


@dataclass(frozen=True)
class Guess:
    """An estimate that knows where its parts come from."""

    time: float
    target: FloatArray
    shadows_from: float
    luma: GrayImage = field(default_factory=lambda: STILL)

    def with_shadows_of(self, other: "Guess") -> "Guess":
        return replace(self, target=other.target, shadows_from=other.shadows_from)


@dataclass
class ScheduledHead:
    """A schedule, and the requests that it has made."""

    schedule: HeadSchedule[Guess] = field(default_factory=lambda: HeadSchedule(PARAMS))
    requests: list[float] = field(default_factory=list)
    timer: StageTimer = field(default_factory=StageTimer)

    def step(
        self,
        time: float,
        target: FloatArray,
        luma: GrayImage = MOVED,
        *,
        in_turn: bool,
        visible: bool = True,
    ) -> tuple[Guess, bool]:
        """The estimate used, and whether an inference was requested.

        All estimates are of the head as in `STILL`.
        """
        before = len(self.requests)

        def request(last: Guess | None) -> Future[Guess]:
            self.requests.append(time)
            made: Future[Guess] = Future()
            made.set_result(Guess(time, target, time))
            return made

        used = self.schedule.step(
            time, target, luma, in_turn=in_turn, visible=visible, request=request, timer=self.timer
        )
        return used, len(self.requests) > before


@pytest.fixture
def head() -> ScheduledHead:
    """One that was looked at, for the light from the left, at 0 s."""
    made = ScheduledHead()
    made.step(0.0, LEFT, in_turn=True)
    return made


@pytest.mark.parametrize("in_turn", [True, False])
@pytest.mark.parametrize("visible", [True, False])
def test_a_head_that_nothing_is_known_of_is_waited_for(in_turn: bool, visible: bool) -> None:
    used, requested = ScheduledHead().step(5.0, LEFT, in_turn=in_turn, visible=visible)
    assert requested and used.time == 5.0


@pytest.mark.parametrize(
    ("time", "target", "in_turn", "visible", "used_time", "requests"),
    [
        (0.03, LEFT, True, True, 0.0, True),  # its turn: renewed behind the frames
        (0.03, LEFT, False, True, 0.0, False),
        (0.03, LEFT, True, False, 0.0, False),  # a face that is lost is not looked for
        (0.03, RIGHT, False, True, 0.0, True),  # another light's shadows are soon there
        (0.03, RIGHT, True, False, 0.0, False),
        (0.60, LEFT, False, True, 0.6, True),  # too old to be carried: waited for
        (0.60, RIGHT, True, True, 0.6, True),
        (0.60, LEFT, True, False, 0.0, False),
    ],
)
def test_what_is_known_decides_what_is_done(
    head: ScheduledHead,
    time: float,
    target: FloatArray,
    in_turn: bool,
    visible: bool,
    used_time: float,
    requests: bool,
) -> None:
    used, requested = head.step(time, target, in_turn=in_turn, visible=visible)
    assert (used.time, requested) == (used_time, requests)


def test_what_was_requested_is_used_at_the_heads_next_turn(head: ScheduledHead) -> None:
    times = [head.step(frame / 30, LEFT, in_turn=frame % 2 == 0)[0].time for frame in range(1, 8)]
    assert [round(time * 30) for time in times] == [0, 0, 0, 2, 2, 4, 4]


def test_a_head_that_holds_still_is_looked_at_half_as_often(head: ScheduledHead) -> None:
    asked = [
        head.step(frame / 30, LEFT, STILL, in_turn=frame % 2 == 0)[1] for frame in range(1, 19)
    ]
    assert [frame for frame, requested in enumerate(asked, start=1) if requested] == [6, 12, 18]


def test_a_light_switched_to_and_fro_keeps_its_shadows(head: ScheduledHead) -> None:
    head.step(0.03, RIGHT, in_turn=False)
    used, requested = head.step(0.06, LEFT, STILL, in_turn=True)
    assert used.time == 0.03 and used.shadows_from == 0.0 and used.target is LEFT
    assert requested  # they are of another moment than the rest


def test_an_inference_that_fails_is_raised_once(head: ScheduledHead) -> None:
    def fail(last: Guess | None) -> Future[Guess]:
        made: Future[Guess] = Future()
        made.set_exception(RuntimeError("out of memory"))
        return made

    with pytest.raises(RuntimeError, match="out of memory"):
        head.schedule.step(
            0.6, LEFT, MOVED, in_turn=True, visible=True, request=fail, timer=head.timer
        )
    assert head.step(0.6, LEFT, in_turn=True)[0].time == 0.6


def test_two_heads_take_turns() -> None:
    turns = [[is_turn(frame, head, PARAMS) for head in range(2)] for frame in range(2)]
    assert turns == [[True, False], [False, True]]


def test_the_largest_heads_are_selected_and_kept_until_others_are_clearly_larger() -> None:
    def face(track_id: int, height: float) -> Face:
        return Face(track_id, np.array([[0, 0, 0], [0, height, 0]], np.float32), 1.0, True)

    faces = [face(1, 100), face(2, 110), face(3, 95)]
    assert [f.track_id for f in select_heads(faces, [], PARAMS)] == [2, 1]
    assert [f.track_id for f in select_heads(faces, [1, 3], PARAMS)] == [1, 3]
    faces = [face(1, 100), face(2, 150), face(3, 95)]
    assert [f.track_id for f in select_heads(faces, [1, 3], PARAMS)] == [2, 1]
