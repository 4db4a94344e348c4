"""Denoising and composition on a card: a frame goes there once and comes back once."""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.compositing.base import Composition, LightChange
from vcam_relight.pipeline.compositing.denoise import (
    PARAMS,
    DenoiseParams,
    DenoiseRequest,
    DenoiseRequests,
    half_size,
    motion_size,
)
from vcam_relight.pipeline.compositing.guided_filter import MatteParams
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.cuda.device import AnyArray, Buffer, Card, Graph, Stream

_PATCHES = 2
"""That a frame has at most."""
_UNIFORMS = 13
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
    """Side."""


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

    def apply(self, frame: BgrImage, change: LightChange, lift: float) -> BgrImage:
        """See `ChangeApplier`; raises CudaError where the card fails."""
        with self._timer.stage("cuda"):
            request = self._requests.of(half_size(frame), change, lift)
            composition = Composition.of(frame, change, MatteParams())
            if composition is None and request is None:
                return frame
            sizes = _Sizes(frame.shape, change.mask.shape, self._patch_side(change))
            if self._plan is None or self._plan.sizes != sizes:
                self._plan, self._arrived = _Plan(self._stream, sizes, self._params), None
            if self._arrived is not frame:
                self._plan.take(frame)
            self._arrived = None
            self._plan.describe(composition, request)
            return self._plan.run(denoise=request is not None)

    def reset(self) -> None:
        """See `ChangeApplier`."""
        self._requests.reset()

    def _patch_side(self, change: LightChange) -> int:
        if change.patches:
            return len(change.patches[0].gain)
        return 1 if self._plan is None else self._plan.sizes.patch


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
            ("shown", sizes.frame, np.uint8),
        )
        kept: tuple[_Named, ...] = (
            ("clean", sizes.frame, np.uint8),
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
        self._graphs: dict[bool, Graph] = {}
        self._averaged = False
        """Whether there is a frame before in this memory."""

    def take(self, frame: BgrImage) -> None:
        """Sends a frame on its way."""
        self._stream.synchronize()  # the one before may not have left
        self._here["frame"][:] = frame
        self._stream.upload(self._there["frame"], self._here["frame"])

    def describe(self, composition: Composition | None, request: DenoiseRequest | None) -> None:
        """Writes what is to be done to the frame."""
        uniforms, grid = self._here["uniforms"], self._here["grid"]
        uniforms[:] = 0
        uniforms[9], uniforms[12] = 1, 1  # patches that are not there have a size
        if request is not None:
            amount = self._here["amount"]
            amount[:] = resize(request.amount, amount.shape[::-1])
            uniforms[0] = request.before and self._averaged
            self._averaged = True
            if request.flow is not None:
                uniforms[1] = 1
                self._here["flow"][:] = request.flow
        if composition is None:
            return
        window, matte = composition.window, composition.matte
        uniforms[3:7] = window.left, window.top, window.right, window.bottom
        size = (self.sizes.grid[1], self.sizes.grid[0])
        person = resize(composition.person, size)
        around = composition.background
        around = np.ones_like(person) if around is None else resize(around, size)
        cv2.merge([matte.a, matte.b, *cv2.split(person), *cv2.split(around)], grid)
        uniforms[2] = len(composition.residuals)
        for index, patch in enumerate(composition.residuals):
            self._here["patches"][index] = patch.values
            place: FloatArray = uniforms[7 + 3 * index : 10 + 3 * index]
            place[:] = patch.left, patch.top, patch.side / self.sizes.patch

    def run(self, *, denoise: bool) -> BgrImage:
        """The frame that was taken, as it was described; a new image."""
        if denoise in self._graphs:
            self._graphs[denoise].launch()
            self._stream.synchronize()
        else:  # the first time compiles kernels, which a recording must not
            self._work(denoise)
            self._stream.synchronize()
            self._graphs[denoise] = self._stream.record(lambda: self._work(denoise))
        return self._here["shown"].copy()

    def _work(self, denoise: bool) -> None:
        for name in ("uniforms", "grid", "patches", *(("amount", "flow") if denoise else ())):
            self._stream.upload(self._there[name], self._here[name])
        if denoise:
            self._denoise()
        there, (height, width, _) = self._there, self.sizes.frame
        self._stream.launch(
            "compose", (-(-width // 64), -(-height // 16), 1), _THREADS,
            there["clean" if denoise else "frame"], there["grid"], there["patches"],
            there["uniforms"], there["shown"], height, width, *self.sizes.grid, self.sizes.patch,
        )  # fmt: skip
        self._stream.download(self._here["shown"], there["shown"])

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
