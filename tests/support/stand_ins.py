"""Sources, sinks and relighters that tests steer; the frame loop around them is the real one."""

import threading
import time
from collections.abc import Callable

import numpy as np

from vcam_relight.pipeline.compositing.backdrop import KEEP, Backdrop
from vcam_relight.pipeline.compositing.portrait import Portrait
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL, Effort
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.vcam.core.errors import SourceError, SourceLost
from vcam_relight.vcam.core.frame import Frame
from vcam_relight.vcam.sinks import ProcessedFrame, Sink
from vcam_relight.vcam.sources import Source

PATIENCE_S = 30.0
"""How long a test waits for what must happen; it passes as soon as it does."""


def wait_for(what: Callable[[], bool]) -> None:
    """Returns when `what()` is true; fails the test after `PATIENCE_S`."""
    end = time.perf_counter() + PATIENCE_S
    while not what():
        assert time.perf_counter() < end, "it did not happen"
        time.sleep(0.005)


def numbered(number: int, size: tuple[int, int] = (64, 48)) -> BgrImage:
    """An image that carries its number in all pixels, modulo 65536, in B and G."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[..., 0], image[..., 1] = number % 256, number // 256 % 256
    return image


def number_of(frame: Frame) -> int:
    """The number that `numbered` put in."""
    return int(frame.image[0, 0, 0]) + 256 * int(frame.image[0, 0, 1])


class NumberedSource(Source):
    """Counts frames at a pace, in plays: each play ends as its entry says, then it is reopened."""

    kind = label = "numbered"

    def __init__(self, plays: list[int | SourceError] | None = None, pace_s: float = 0.01) -> None:
        """
        Args:
            plays: a number: that many frames, then lost (the stream ends after the last play);
                an error: raised by `open`. None: frames for ever.
            pace_s: seconds from frame to frame.
        """
        self.plays = plays
        self.pace_s = pace_s
        self.sent = 0
        self.opened = 0
        self._left: int | None = None
        self._closed = threading.Event()

    def open(self) -> None:
        self._closed.clear()
        play = self.plays.pop(0) if self.plays is not None else None
        if isinstance(play, SourceError):
            raise play
        self._left = play
        self.opened += 1

    def read(self) -> Frame | None:
        if self._left == 0:
            if not self.plays:
                return None
            raise SourceLost("the camera was unplugged", "plug it in again")
        if self._closed.wait(self.pace_s):
            return None
        if self._left is not None:
            self._left -= 1
        self.sent += 1
        return Frame(numbered(self.sent), time.perf_counter(), self.sent * 3000)

    def close(self) -> None:
        self._closed.set()


class KeepingSink(Sink):
    """Keeps every frame; can be slow, without consumers, or fail."""

    kind = "keeping"
    has_consumers = True

    def __init__(self, label: str = "keeping") -> None:
        self.label = label
        self.kept: list[ProcessedFrame] = []
        self.opened = 0
        self.closed = 0
        self.before_write: Callable[[], object] = lambda: None
        self.on_open: Callable[[], object] = lambda: None
        self.on_close: Callable[[], object] = lambda: None

    def open(self) -> None:
        self.on_open()
        self.opened += 1

    def write(self, frame: ProcessedFrame) -> None:
        self.before_write()
        self.kept.append(frame)

    def close(self) -> None:
        self.closed += 1
        self.on_close()

    @property
    def numbers(self) -> list[int]:
        return [number_of(frame.original) for frame in self.kept]


class MarkingRelighter:
    """Marks the red channel of what it relights; `before` may wait or raise."""

    MARK = 77
    effort: Effort = FULL
    backdrop: Backdrop = KEEP
    runs_on = "CPU"

    def __init__(self, before: Callable[[BgrImage], object] = lambda image: None) -> None:
        self.timer = StageTimer()
        self.before = before
        self.calls = 0
        self.resets = 0
        self.closed = False

    def process(
        self, image: BgrImage, time: float, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        self.calls += 1
        self.timer.start_frame()
        self.before(image)
        with self.timer.stage("mark"):
            relit = image.copy()
            relit[..., 2] = self.MARK
        return relit

    def portrait(self, image: BgrImage, time_s: float) -> Portrait | None:
        return None

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


def is_relit(frame: ProcessedFrame) -> bool:
    """Whether a `MarkingRelighter` made the output."""
    return bool((frame.output.image[..., 2] == MarkingRelighter.MARK).all())
