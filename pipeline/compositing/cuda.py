"""Denoising and composition on a card: a frame goes there once and comes back once."""

from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import numpy as np

from vcam_relight.pipeline.compositing.base import LightRequest
from vcam_relight.pipeline.compositing.cuda_gains import GainPlan, GainSizes
from vcam_relight.pipeline.compositing.denoise import (
    PARAMS,
    DenoiseParams,
    Motion,
    MotionEstimator,
    half_size,
    motion_size,
)
from vcam_relight.pipeline.compositing.displace import Displacement
from vcam_relight.pipeline.compositing.guided_filter import MatteParams, matte_window
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.core.window import Window
from vcam_relight.pipeline.cuda.device import AnyArray, Buffer, Card, Graph, Stream

_UNIFORMS = 20
"""Floats of `Uniforms` in frame.cu."""
_THREADS = 256


_Named = tuple[str, tuple[int, ...], type[np.generic]]
"""An array: its name, shape and type."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What buffers are made for; another size gets others."""

    frame: tuple[int, ...]
    """`(H, W, 3)`"""
    gains: GainSizes
    field: int
    """Side of a displacement's."""


class CudaApplier:
    """See `ChangeApplier`.

    What differs from frame to frame lies in memory that stays: a size's work is recorded once, with
    and without denoising.
    """

    def __init__(self, card: Card, timer: StageTimer, params: DenoiseParams = PARAMS) -> None:
        self._stream, self._timer, self._params = Stream(card), timer, params
        self._motion = MotionEstimator(params)
        self._plan: _Plan | None = None
        self._arrived: BgrImage | None = None
        """The frame that is on the card, or on its way."""

    def begin(self, frame: BgrImage) -> None:
        """See `ChangeApplier`."""
        if self._plan is not None and self._plan.sizes.frame == frame.shape:
            self._plan.take(frame)
            self._arrived = frame

    def apply(
        self, frame: BgrImage, request: LightRequest | None, displacement: Displacement | None
    ) -> BgrImage:
        """See `ChangeApplier`; raises CudaError where the card fails."""
        with self._timer.stage("cuda"):
            window = None if request is None else _lit_window(frame, request)
            lifts = request is not None and request.brightened >= self._params.least
            steps = _Steps(lifts, window is not None, displacement is not None)
            motion = None
            if lifts and request is not None:
                motion = self._motion.next(half_size(frame), request.image.luma)
            else:
                self._motion.reset()
            if not any(steps):
                return frame
            plan = self._plan_for(frame, request, displacement)
            if self._arrived is not frame:
                plan.take(frame)
            self._arrived = None
            plan.describe(motion, request, window, displacement)
            return plan.run(steps)

    def reset(self) -> None:
        """See `ChangeApplier`."""
        self._motion.reset()

    def _plan_for(
        self, frame: BgrImage, request: LightRequest | None, displacement: Displacement | None
    ) -> "_Plan":
        """The one there is, if its sizes will do; what is not there now has any."""
        nothing = GainSizes((1, 1), (1, 1), 1)
        last = self._plan.sizes if self._plan else _Sizes(frame.shape, nothing, 1)
        sizes = _Sizes(
            frame.shape,
            GainSizes.of(request, last.gains) if request else last.gains,
            len(displacement.field) if displacement else last.field,
        )
        if self._plan is None or sizes != last:
            before, self._arrived = self._plan, None
            self._plan = _Plan(self._stream, sizes, self._params)
            if before is not None:
                self._plan.go_on_from(before)
        return self._plan


def _lit_window(frame: BgrImage, request: LightRequest) -> Window | None:
    """The part of the half-size frame whose light changes; None for none of it."""
    height, width = half_size(frame)
    half = Window(0, 0, width, height)
    return half if request.wall is not None else matte_window(request.mask, half, MatteParams())


class _Steps(NamedTuple):
    """What is done to a frame."""

    denoise: bool
    light: bool
    move: bool


class _Plan:
    """The work on frames of one size, and its memory."""

    def __init__(self, stream: Stream, sizes: _Sizes, params: DenoiseParams) -> None:
        self.sizes = sizes
        self._stream, self._params = stream, params
        self._gains = GainPlan(stream, sizes.gains)
        card, (height, width, _), grid = stream.card, sizes.frame, sizes.gains.grid
        half = (max(height // 2, 1), max(width // 2, 1))
        motion = motion_size(grid)[::-1]
        self._here: dict[str, AnyArray] = {}
        """What goes to the card and comes back, in pinned memory."""
        self._there: dict[str, Buffer] = {}
        sent: tuple[_Named, ...] = (
            ("frame", sizes.frame, np.uint8),
            ("uniforms", (_UNIFORMS,), np.float32),
            ("flow", (*motion, 2), np.float32),
            ("field", (sizes.field, sizes.field, 2), np.float32),
            ("shown", sizes.frame, np.uint8),
        )
        kept: tuple[_Named, ...] = (
            ("clean", sizes.frame, np.uint8),
            ("lit", sizes.frame, np.uint8),
            ("half", (3, *half), np.uint8),
            ("before", (3, *half), np.uint8),
            ("moved", (3, *half), np.uint8),
            ("averaged", (3, *half), np.uint8),
            ("share", half, np.uint8),
            ("amount", half, np.uint8),
            ("change", (3, *half), np.int16),
            ("histogram", (511,), np.int32),
            ("noise", (1,), np.float32),
        )
        for name, shape, dtype in sent:
            self._here[name] = card.pinned(shape, dtype)
            self._here[name][:] = 0
            self._there[name] = card.empty(shape, dtype)
        for name, shape, dtype in kept:
            self._there[name] = card.empty(shape, dtype)
        stream.clear(self._there["before"])  # it is read, and not used, before there is a frame
        self._graphs: dict[_Steps, Graph] = {}
        self._averaged = False
        """Whether there is a frame before in this memory."""

    def go_on_from(self, other: "_Plan") -> None:
        """Takes over the frame before, where it has the same size."""
        here, there = self.sizes, other.sizes
        if (there.frame, there.gains.grid) == (here.frame, here.gains.grid):
            self._there["before"], self._averaged = other._there["before"], other._averaged

    def take(self, frame: BgrImage) -> None:
        """Sends a frame on its way."""
        self._stream.synchronize()  # the one before may not have left
        self._here["frame"][:] = frame
        self._stream.upload(self._there["frame"], self._here["frame"])

    def describe(
        self,
        motion: Motion | None,
        request: LightRequest | None,
        window: Window | None,
        displacement: Displacement | None,
    ) -> None:
        """Writes what is to be done to the frame."""
        uniforms = self._here["uniforms"]
        uniforms[:] = 0
        uniforms[[9, 12, 19]] = 1  # what is not there has a size
        if motion is not None:
            uniforms[0] = self._averaged
            if motion.flow is not None:
                uniforms[1] = 1
                self._here["flow"][:] = motion.flow
        if request is not None:
            self._gains.describe(request)
        if request is not None and window is not None:
            uniforms[2] = len(request.patches)
            uniforms[3:7] = window.left, window.top, window.right, window.bottom
            for index, patch in enumerate(request.patches):
                place: FloatArray = uniforms[7 + 3 * index : 10 + 3 * index]
                left, top = patch.middle / 2 - patch.side / 4
                place[:] = left, top, patch.side / 2 / self.sizes.gains.patch
        if displacement is not None:
            window, side = displacement.window, displacement.side
            uniforms[13:17] = window.left, window.top, window.right, window.bottom
            uniforms[17:19] = displacement.middle - side / 2
            uniforms[19] = side / self.sizes.field
            self._here["field"][:] = displacement.field

    def run(self, steps: _Steps) -> BgrImage:
        """The frame that was taken, as it was described; a new image."""
        self._averaged = self._averaged or steps.denoise
        if steps in self._graphs:
            self._graphs[steps].launch()
            self._stream.synchronize()
        else:  # the first time compiles kernels, which a recording must not
            self._work(steps)
            self._stream.synchronize()
            words = ("noise taken out", "lit", "moved")
            name = f"frame: {', '.join(compress(words, steps))}"
            self._graphs[steps] = self._stream.record(name, lambda: self._work(steps))
        return self._here["shown"].copy()

    def _work(self, steps: _Steps) -> None:
        there, (height, width, _) = self._there, self.sizes.frame
        for name in ["uniforms"] + ["flow"] * steps.denoise + ["field"] * steps.move:
            self._stream.upload(there[name], self._here[name])
        if steps.denoise or steps.light:
            self._gains.work(self._params)
        image = there["frame"]
        if steps.denoise:
            self._denoise()
            image = there["clean"]
        if steps.light:
            self._stream.launch(
                "compose", (-(-width // 64), -(-height // 16), 1), _THREADS,
                image, self._gains.grid, self._gains.patches, there["uniforms"], there["lit"],
                height, width, *self.sizes.gains.grid, self.sizes.gains.patch,
            )  # fmt: skip
            image = there["lit"]
        if steps.move:
            self._stream.launch(
                "displace", (-(-height * width // _THREADS), 1, 1), _THREADS,
                image, there["field"], there["uniforms"], there["shown"], height, width,
                self.sizes.field,
            )  # fmt: skip
            image = there["shown"]
        self._stream.download(self._here["shown"], image)

    def _denoise(self) -> None:
        there, params, launch = self._there, self._params, self._stream.launch
        height, width, _ = self.sizes.frame
        _, h, w = there["half"].shape
        pixels = (-(-h * w // _THREADS), 1, 1)
        launch(
            "spread_amount", pixels, _THREADS,
            self._gains.amount, there["amount"], *self.sizes.gains.grid, h, w,
        )  # fmt: skip
        launch("halve", pixels, _THREADS, there["frame"], there["half"], height, width)
        self._stream.clear(there["histogram"])
        launch(
            "count_roughness", (-(-height // params.every), 1, 1), _THREADS,
            there["frame"], there["histogram"], height, width, params.every,
        )  # fmt: skip
        launch("tell_noise", (1, 1, 1), 512, there["histogram"], there["noise"], params.quiet)
        launch(
            "move", pixels, _THREADS,
            there["before"], there["flow"], there["uniforms"], there["moved"], h, w,
            *there["flow"].shape[:2],
        )  # fmt: skip
        launch(
            "average", pixels, _THREADS,
            there["half"], there["moved"], there["amount"], there["noise"], there["uniforms"],
            there["averaged"], there["share"], h, w, params.agree, params.keep,
        )  # fmt: skip
        self._stream.copy(there["before"], there["averaged"])
        launch(
            "shrink", pixels, _THREADS,
            there["averaged"], there["half"], there["share"], there["amount"], there["noise"],
            there["change"], h, w, *params.edges, params.averaged,
        )  # fmt: skip
        launch(
            "clean_frame", (-(-height * width // _THREADS), 1, 1), _THREADS,
            there["frame"], there["half"], there["change"], there["amount"], there["noise"],
            there["clean"], height, width, params.detail,
        )  # fmt: skip
