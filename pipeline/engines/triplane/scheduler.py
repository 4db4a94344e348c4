"""When the network looks at a head: what is known is reused, renewed behind the frames, or awaited.

The network takes longer than a frame has. So it runs beside the frames, and what it said of a head
is carried along with the face for a frame or two.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, Self, TypeVar

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray, GrayImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.face.types import Face


@dataclass(frozen=True, slots=True)
class ScheduleParams:
    """How often the network looks at which heads."""

    heads: int = 2
    """Heads that the network looks at in one frame, the largest; others get the light of bodies."""
    hysteresis: float = 1.2
    """Times the size that another face must have to take one's place among them."""
    interval: int = 2
    """A head has its turn in every second frame while the frames go on; its next turn waits for
    what was requested in the last. Half of the work, for maps that are two or three frames old. A
    new light is never late; its cast shadows are, by a frame."""
    changed: float = 0.03
    """Of its luma, by which a head's crop has changed on average when its turn is used..."""
    rest_s: float = 0.19
    """...or when what is known of it is so old: a listener hardly moves."""
    max_age_s: float = 0.3
    """What is older, from before a pause or from a camera of a few frames a second, is not carried:
    the frame waits for an inference of its own."""


class Known(Enum):
    """What is known of a head, as of the frame at hand."""

    NOTHING = "no estimate yet"
    STALE = "an estimate that is too old to be carried"
    OTHER_LIGHT = "an estimate with the cast shadows of another target lighting"
    CHANGED = "an estimate for this lighting, of a head that has moved since"
    CURRENT = "an estimate for this lighting"


class Action(Enum):
    """What to do with a head in the frame at hand."""

    REUSE = "use what is known"
    REQUEST = "use what is known, and request an inference for frames to come"
    WAIT = "request an inference and wait for it"


ACTIONS: dict[tuple[Known, bool], tuple[Action, Action]] = {
    # known, face visible: in its turn, out of turn
    (Known.NOTHING, True): (Action.WAIT, Action.WAIT),
    (Known.NOTHING, False): (Action.WAIT, Action.WAIT),
    (Known.STALE, True): (Action.WAIT, Action.WAIT),
    (Known.STALE, False): (Action.REUSE, Action.REUSE),
    (Known.OTHER_LIGHT, True): (Action.REQUEST, Action.REQUEST),
    (Known.OTHER_LIGHT, False): (Action.REUSE, Action.REUSE),
    (Known.CHANGED, True): (Action.REQUEST, Action.REUSE),
    (Known.CHANGED, False): (Action.REUSE, Action.REUSE),
    (Known.CURRENT, True): (Action.REUSE, Action.REUSE),
    (Known.CURRENT, False): (Action.REUSE, Action.REUSE),
}
"""Where a face was last is no place to look for it: what is known of one that is not visible fades
out as it is."""


class Estimate(Protocol):
    """What the scheduler needs to know of an estimate."""

    @property
    def time(self) -> float:
        """Media time in seconds of the frame that it was made from."""

    @property
    def target(self) -> FloatArray:
        """`(9, 3)` the lighting whose cast shadows it has."""

    @property
    def luma(self) -> GrayImage:
        """`(n, n)` of the head's crop that it was made from."""

    def with_shadows_of(self, other: Self) -> Self:
        """This one, with the cast shadows of another."""


E = TypeVar("E", bound=Estimate)


class HeadSchedule(Generic[E]):
    """The estimate of one head that is in use, and the one that is requested."""

    def __init__(self, params: ScheduleParams) -> None:
        self._params = params
        self._estimate: E | None = None
        self._requested: Future[E] | None = None
        self._mixed = False
        """Whether the estimate has the shadows of another."""

    def step(
        self,
        time: float,
        target: FloatArray,
        luma: GrayImage,
        *,
        in_turn: bool,
        visible: bool,
        request: Callable[[E | None], Future[E]],
        timer: StageTimer,
        patience: float = 1.0,
    ) -> E:
        """The estimate to relight this frame's head with.

        Args:
            time: of the frame, seconds.
            target: `(9, 3)` the target lighting.
            luma: `(n, n)` of the head's crop.
            in_turn: whether it is this head's turn, see `is_turn`.
            visible: whether the face was found in the frame.
            request: begins an inference on the frame, given the last estimate.
            timer: waiting counts as its stage "network (wait)".
            patience: how much more, and longer, the head may change until it is looked at again.

        Raises what the inference raised.
        """
        known = self._known(time, target, luma, patience)
        if self._requested and (in_turn or known not in (Known.CURRENT, Known.CHANGED)):
            requested, self._requested = self._requested, None
            self._estimate = self._result(requested, target, timer)
            known = self._known(time, target, luma, patience)
        actions = ACTIONS[known, visible]
        action = actions[0] if in_turn else actions[1]
        if action is Action.WAIT or self._estimate is None:
            self._estimate = self._result(request(self._estimate), target, timer)
        elif action is Action.REQUEST:
            self._requested = request(self._estimate)
        return self._estimate

    def _known(self, time: float, target: FloatArray, luma: GrayImage, patience: float) -> Known:
        if self._estimate is None:
            return Known.NOTHING
        age = time - self._estimate.time
        if age > self._params.max_age_s * patience:
            return Known.STALE
        if not np.array_equal(self._estimate.target, target):
            return Known.OTHER_LIGHT
        change = cv2.norm(self._estimate.luma, luma, cv2.NORM_L1)
        moved = change > self._params.changed * patience * cv2.norm(luma, cv2.NORM_L1)
        renew = moved or self._mixed or age >= self._params.rest_s * patience
        return Known.CHANGED if renew else Known.CURRENT

    def _result(self, requested: Future[E], target: FloatArray, timer: StageTimer) -> E:
        """Waits for what was requested.

        If it was for a lighting that is no longer the target, as when two are switched to and fro,
        the shadows of the estimate before stay.
        """
        with timer.stage("network (wait)"):
            new = requested.result()
        old = self._estimate
        self._mixed = (
            old is not None
            and np.array_equal(old.target, target)
            and not np.array_equal(new.target, target)
        )
        return new.with_shadows_of(old) if old is not None and self._mixed else new


def is_turn(frame: int, head: int, params: ScheduleParams) -> bool:
    """Whether a head has its turn: two heads take turns.

    Args:
        frame: number of the frame in its stream.
        head: place of the head among those selected.
        params: how often.
    """
    return (frame + head) % params.interval == 0


def select_heads(faces: Iterable[Face], followed: list[int], params: ScheduleParams) -> list[Face]:
    """The heads to look at, the largest first; it counts for bodies and background.

    Args:
        faces: all in the frame.
        followed: `track_id`s of those selected in the last frame, in order; they give way to
            clearly larger ones only.
        params: how many, and how much larger.
    """
    rank = {track_id: len(followed) - place for place, track_id in enumerate(followed)}

    def size(face: Face) -> float:
        height = float(np.ptp(face.landmarks[:, 1]))
        return height * params.hysteresis ** rank.get(face.track_id, 0)

    return sorted(faces, key=size, reverse=True)[: params.heads]
