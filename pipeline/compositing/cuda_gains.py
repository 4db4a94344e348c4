"""Matte, gains and amount of noise at the analysis resolution, of a light request, on a card."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vcam_relight.pipeline.compositing.base import LEAST_BASE, LightRequest, LocalGain
from vcam_relight.pipeline.compositing.denoise import DenoiseParams
from vcam_relight.pipeline.compositing.gain import GainParams
from vcam_relight.pipeline.compositing.guided_filter import MatteParams
from vcam_relight.pipeline.core.color import DECODE_8BIT, SRGB_GAMMA
from vcam_relight.pipeline.cuda.device import AnyArray, Buffer, Stream

_THREADS = 256
PATCHES = 2
"""That a request has at most."""


@dataclass(frozen=True, slots=True)
class GainSizes:
    """What a plan's buffers are made for."""

    grid: tuple[int, ...]
    """`(h, w)` of the analysis resolution."""
    coarse: tuple[int, ...]
    """`(h', w')` of the person's gain."""
    patch: int
    """Side of patches."""

    @staticmethod
    def of(request: LightRequest, last: "GainSizes | None") -> "GainSizes":
        """What a request needs; one without patches takes any."""
        patch = last.patch if last else 1
        if request.patches:
            patch = len(request.patches[0].gain)
        return GainSizes(request.mask.shape, request.gain.shape[:2], patch)


class GainPlan:
    """The work on light requests of the same sizes, and its memory."""

    def __init__(self, stream: Stream, sizes: GainSizes) -> None:
        self.sizes = sizes
        self._stream, self._matte, self._limits = stream, MatteParams(), GainParams()
        card, grid, patches = stream.card, sizes.grid, (PATCHES, sizes.patch, sizes.patch)
        sent: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "light": ((10,), np.float32),
            "image": ((*grid, 3), np.uint8),
            "luma": (grid, np.uint8),
            "mask": (grid, np.float32),
            "gain": ((*sizes.coarse, 3), np.float32),
            "patch_gain": ((*patches, 3), np.float32),
            "patch_base": ((*patches, 3), np.float32),
            "patch_linear": ((*patches, 3), np.float32),
            "patch_alpha": (patches, np.float32),
        }
        self._here: dict[str, AnyArray] = {}
        self._there: dict[str, Buffer] = {}
        for name, (shape, dtype) in sent.items():
            self._here[name] = card.pinned(shape, dtype)
            self._here[name][:] = 0
            self._there[name] = card.empty(shape, dtype)
        self.grid = card.empty((*grid, 8), np.float32)
        """What `compose` in frame.cu takes."""
        self.patches = card.empty((*patches, 3), np.float32)
        """The same."""
        self.amount = card.empty(grid, np.uint8)
        """How much of the noise is to go, of 255."""
        self._fitted = card.empty((*grid, 2), np.float32)
        self._decode = card.empty(DECODE_8BIT.shape, np.float32)
        stream.upload(self._decode, DECODE_8BIT)

    def describe(self, request: LightRequest) -> None:
        """Writes a request to what `work` sends."""
        here, strength = self._here, request.strength
        walls = request.wall is not None
        wall = request.wall if request.wall is not None else np.ones(3, np.float32)
        light = [*request.lift, *wall, walls, strength, strength / SRGB_GAMMA, len(request.patches)]
        here["light"][:] = light
        here["image"][:] = request.image.bgr
        here["luma"][:] = request.image.luma
        here["mask"][:] = request.mask
        here["gain"][:] = request.gain
        self._describe_patches(request.patches)

    def work(self, denoise: DenoiseParams) -> None:
        """Makes `grid`, `patches` and `amount` of what was described."""
        there, launch, matte = self._there, self._stream.launch, self._matte
        for name, here in self._here.items():
            self._stream.upload(there[name], here)
        height, width = self.sizes.grid
        area, cells = self.sizes.patch**2, (-(-height * width // _THREADS), 1, 1)
        launch(
            "fit_matte", cells, _THREADS,
            there["luma"], there["mask"], self._fitted, height, width, matte.radius,
            matte.background, 1 / (matte.foreground - matte.background), matte.epsilon,
        )  # fmt: skip
        launch(
            "plan_gains", cells, _THREADS,
            self._fitted, there["gain"], there["image"], there["mask"], self._decode,
            there["light"], self.grid, self.amount, height, width, *self.sizes.coarse,
            matte.radius, matte.certain, self._limits.least_headroom,
            math.log(denoise.least), math.log(denoise.most),
        )  # fmt: skip
        launch(
            "plan_patches", (-(-PATCHES * area // _THREADS), 1, 1), _THREADS,
            there["patch_gain"], there["patch_base"], there["patch_alpha"],
            there["patch_linear"], there["light"], self.patches, area,
            self._limits.least_headroom, float(LEAST_BASE),
        )  # fmt: skip

    def _describe_patches(self, patches: Sequence[LocalGain]) -> None:
        for index, patch in enumerate(patches):
            self._here["patch_gain"][index] = patch.gain
            self._here["patch_base"][index] = patch.base
            self._here["patch_linear"][index] = patch.linear
            self._here["patch_alpha"][index] = patch.alpha[..., 0]
