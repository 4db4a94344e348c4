"""One stream's person mask: looked for where the picture moves, carried along in between."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, GrayImage, Map
from vcam_relight.pipeline.core.resample import quick_resize, resize
from vcam_relight.pipeline.face.models import ModelLoader, load_model
from vcam_relight.pipeline.face.segmenter import PersonSegmenter


@dataclass(frozen=True, slots=True)
class PersonMaskParams:
    """When a mask is carried, how motion is seen, and how a look is taken over."""

    longest_s: float = 0.08
    """Between two frames: over longer, motion is too large to be followed without a look."""
    side: int = 128
    """Pixels on the longer side of the images that motion is seen in; 0.1 ms."""
    still: float = 0.15
    """Of these pixels: less is the camera's noise, and a mask that holds still stays as it is."""
    changed: float = 12.0
    most_changed: float = 0.004
    """Share of these pixels whose luma may have changed by more than so many levels of 255: a hand
    moves too quickly to be followed, and the segmenter looks."""
    small: float = 0.25
    """Fraction of a small change that a look makes..."""
    large: float = 0.35
    """...and the change of the mask from which all of it is taken over."""


_PARAMS = PersonMaskParams()


class PersonMask:
    """Finds the people's mask in each frame of a stream: `begin`, other work, `finish`.

    For one thread at a time; the segmenter runs on another, and is to be closed.
    """

    def __init__(self, params: PersonMaskParams = _PARAMS, load: ModelLoader = load_model) -> None:
        """Loads the models, where no other stream has.

        Raises:
            OSError, RuntimeError: a model file is missing or damaged.
        """
        self._params = params
        self._segmenter = PersonSegmenter(load)
        self._pool = ThreadPoolExecutor(1, "mask")
        """Holds one image at most: each frame waits for its own mask."""
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._frames = 0
        """Since the stream began."""
        self._luma: GrayImage = np.zeros((1, 1), np.uint8)
        """The frame at hand, small."""
        self._last: tuple[GrayImage, Map] | None = None
        """The frame before, small, and its mask."""
        self._looking: Future[Map] | None = None
        self._quarter_turns = 0

    def close(self) -> None:
        """Ends its thread; may be called twice."""
        self._pool.shutdown()

    def reset(self) -> None:
        """Forgets the frames before."""
        self._frames, self._last = 0, None

    def begin(self, image: BgrImage, dt: float, quarter_turns: int, every: int) -> None:
        """Begins with a frame.

        Args:
            image: `(H, W, 3)`.
            dt: seconds since the frame before.
            quarter_turns: as of `PersonSegmenter.segment`; others than before mean another person.
            every: frames of which the segmenter looks at one while little moves.
        """
        self._turn(quarter_turns)
        self._luma = self._small_luma(image)
        carries = dt <= self._params.longest_s and self._is_calm(self._luma)
        if not carries or self._frames % every == 0:
            self._looking = self._pool.submit(self._segmenter.segment, image, quarter_turns)
        self._frames += 1

    def wait(self) -> None:
        """Returns when the segmenter has done with the frame, however it went."""
        if self._looking is not None:
            wait([self._looking])

    def finish(self, image: BgrImage, quarter_turns: int) -> Map:
        """The mask `(h, w)` 0..1, stretched over the frame; arguments as of `begin`.

        Raises what the segmenter raised.
        """
        looking, self._looking = self._looking, None
        if self._turn(quarter_turns):
            looking = None
        luma = self._luma
        if self._last is None:
            mask = looking.result() if looking else self._segmenter.segment(image, quarter_turns)
        elif looking is None:
            mask = self._carried(*self._last, luma)
        else:
            mask = self._taken_over(self._last[1], looking.result())
        self._last = luma, mask
        return mask

    def _is_calm(self, luma: GrayImage) -> bool:
        if self._last is None:
            return False
        params, change = self._params, cv2.absdiff(luma, self._last[0])
        changed = int(np.count_nonzero(change > params.changed))
        return changed <= params.most_changed * luma.size

    def _turn(self, quarter_turns: int) -> bool:
        """Whether somebody came, or turned over: the mask before is not theirs."""
        turned = quarter_turns != self._quarter_turns
        if turned:
            self._quarter_turns, self._last = quarter_turns, None
        return turned

    def _taken_over(self, last: Map, seen: Map) -> Map:
        """A look, smoothed over time where the mask hardly changes."""
        change, params = seen - last, self._params
        taken = np.abs(change) * ((1 - params.small) / params.large) + params.small
        return np.asarray(last + change * np.minimum(taken, 1.0), np.float32)

    def _carried(self, before: GrayImage, mask: Map, luma: GrayImage) -> Map:
        """The mask of the frame before, gone along with what has moved."""
        flow = self._flow.calc(luma, before, np.zeros((*luma.shape, 2), np.float32))
        moving = (flow * flow).sum(axis=2) > self._params.still**2
        if not moving.any():
            return mask
        height, width = mask.shape
        scale = np.array([width / luma.shape[1], height / luma.shape[0]], np.float32)
        flow = resize(np.asarray(flow * moving[..., None] * scale, np.float32), (width, height))
        x = flow[..., 0] + np.arange(width, dtype=np.float32)
        y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
        border = cv2.BORDER_REPLICATE
        return np.asarray(cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=border), np.float32)

    def _small_luma(self, image: BgrImage) -> GrayImage:
        height, width = image.shape[:2]
        scale = min(1.0, self._params.side / max(height, width))
        small = quick_resize(image, (max(16, round(width * scale)), max(16, round(height * scale))))
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
