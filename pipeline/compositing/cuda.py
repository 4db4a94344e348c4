"""Denoising and composition on a card: a frame goes there once and comes back once."""

from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import cv2
import numpy as np

from vcam_relight.pipeline.compositing.base import Composition, LightChange, LightRequest
from vcam_relight.pipeline.compositing.denoise import (
    PARAMS,
    DenoiseParams,
    DenoiseRequest,
    DenoiseRequests,
    half_size,
    motion_size,
)
from vcam_relight.pipeline.compositing.displace import Displacement
from vcam_relight.pipeline.compositing.guided_filter import MatteParams
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.cuda.device import AnyArray, Buffer, Card, Graph, Stream

_PATCHES = 2
"""That a frame has at most."""
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
    grid: tuple[int, ...]
    """`(h, w)` of the mask and of gains."""
    patch: int
    """Side of those of a light change."""
    field: int
    """Side of a displacement's."""


class CudaApplier:
    """See `ChangeApplier`.

    What differs from frame to frame lies in memory that stays: a size's work is recorded once, with
    and without denoising.
    """

    def __init__(self, card: Card, timer: StageTimer, params: DenoiseParams = PARAMS) -> None:
        self._stream, self._timer, self._params = Stream(card), timer, params
        self._requests = DenoiseRequests(params)
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
            noise, composition, change = None, None, request.change if request else None
            if request is not None:
                noise = self._requests.of(half_size(frame), request.change, request.lift)
                composition = Composition.of(frame, request.change, MatteParams())
            steps = _Steps(noise is not None, composition is not None, displacement is not None)
            if not any(steps):
                return frame
            plan = self._plan_for(frame, change, displacement)
            if self._arrived is not frame:
                plan.take(frame)
            self._arrived = None
            plan.describe(noise, composition, displacement)
            return plan.run(steps)

    def reset(self) -> None:
        """See `ChangeApplier`."""
        self._requests.reset()

    def _plan_for(
        self, frame: BgrImage, change: LightChange | None, displacement: Displacement | None
    ) -> "_Plan":
        """The one there is, if its sizes will do; what is not there now has any."""
        last = self._plan.sizes if self._plan else _Sizes(frame.shape, (1, 1), 1, 1)
        sizes = _Sizes(
            frame.shape,
            change.mask.shape if change else last.grid,
            len(change.patches[0].gain) if change and change.patches else last.patch,
            len(displacement.field) if displacement else last.field,
        )
        if self._plan is None or sizes != last:
            before, self._arrived = self._plan, None
            self._plan = _Plan(self._stream, sizes, self._params)
            if before is not None:
                self._plan.go_on_from(before)
        return self._plan


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
        card, (height, width, _), grid = stream.card, sizes.frame, sizes.grid
        half = (max(height // 2, 1), max(width // 2, 1))
        motion = motion_size(grid)[::-1]
        self._here: dict[str, AnyArray] = {}
        """What goes to the card and comes back, in pinned memory."""
        self._there: dict[str, Buffer] = {}
        sent: tuple[_Named, ...] = (
            ("frame", sizes.frame, np.uint8),
            ("uniforms", (_UNIFORMS,), np.float32),
            ("grid", (*grid, 8), np.float32),
            ("patches", (_PATCHES, sizes.patch, sizes.patch, 3), np.float32),
            ("amount", half, np.uint8),
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
        self._graphs: dict[_Steps, Graph] = {}
        self._averaged = False
        """Whether there is a frame before in this memory."""

    def go_on_from(self, other: "_Plan") -> None:
        """Takes over the frame before, where it has the same size."""
        if (other.sizes.frame, other.sizes.grid) == (self.sizes.frame, self.sizes.grid):
            self._there["before"], self._averaged = other._there["before"], other._averaged

    def take(self, frame: BgrImage) -> None:
        """Sends a frame on its way."""
        self._stream.synchronize()  # the one before may not have left
        self._here["frame"][:] = frame
        self._stream.upload(self._there["frame"], self._here["frame"])

    def describe(
        self,
        noise: DenoiseRequest | None,
        composition: Composition | None,
        displacement: Displacement | None,
    ) -> None:
        """Writes what is to be done to the frame."""
        uniforms = self._here["uniforms"]
        uniforms[:] = 0
        uniforms[[9, 12, 19]] = 1  # what is not there has a size
        if noise is not None:
            amount = self._here["amount"]
            amount[:] = resize(noise.amount, amount.shape[::-1])
            uniforms[0] = noise.before and self._averaged
            self._averaged = True
            if noise.flow is not None:
                uniforms[1] = 1
                self._here["flow"][:] = noise.flow
        if composition is not None:
            self._describe_light(composition, uniforms)
        if displacement is not None:
            window, side = displacement.window, displacement.side
            uniforms[13:17] = window.left, window.top, window.right, window.bottom
            uniforms[17:19] = displacement.middle - side / 2
            uniforms[19] = side / self.sizes.field
            self._here["field"][:] = displacement.field

    def run(self, steps: _Steps) -> BgrImage:
        """The frame that was taken, as it was described; a new image."""
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

    def _describe_light(self, composition: Composition, uniforms: AnyArray) -> None:
        window, matte = composition.window, composition.matte
        uniforms[3:7] = window.left, window.top, window.right, window.bottom
        size = (self.sizes.grid[1], self.sizes.grid[0])
        person = resize(composition.person, size)
        around = composition.background
        around = np.ones_like(person) if around is None else resize(around, size)
        planes = [matte.a, matte.b, *cv2.split(person), *cv2.split(around)]
        cv2.merge(planes, self._here["grid"])
        uniforms[2] = len(composition.residuals)
        for index, patch in enumerate(composition.residuals):
            self._here["patches"][index] = patch.values
            place: FloatArray = uniforms[7 + 3 * index : 10 + 3 * index]
            place[:] = patch.left, patch.top, patch.side / self.sizes.patch

    def _work(self, steps: _Steps) -> None:
        there, (height, width, _) = self._there, self.sizes.frame
        needed = ["uniforms"]
        needed += ["amount", "flow"] * steps.denoise + ["grid", "patches"] * steps.light
        for name in needed + ["field"] * steps.move:
            self._stream.upload(there[name], self._here[name])
        image = there["frame"]
        if steps.denoise:
            self._denoise()
            image = there["clean"]
        if steps.light:
            self._stream.launch(
                "compose", (-(-width // 64), -(-height // 16), 1), _THREADS,
                image, there["grid"], there["patches"], there["uniforms"], there["lit"],
                height, width, *self.sizes.grid, self.sizes.patch,
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
