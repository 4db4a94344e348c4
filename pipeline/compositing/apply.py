"""What changes the light of a stream's frames, noise taken out: on the CPU, or on a card."""

from typing import Protocol

from vcam_relight.pipeline.compositing.base import LightRequest
from vcam_relight.pipeline.compositing.choose import fastest_compositor
from vcam_relight.pipeline.compositing.cuda import CudaApplier
from vcam_relight.pipeline.compositing.denoise import LiftDenoiser
from vcam_relight.pipeline.compositing.displace import Displacement, displaced
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.cuda.device import Card


class ChangeApplier(Protocol):
    """Applies light changes to the frames of one stream; for one thread at a time."""

    def begin(self, frame: BgrImage) -> None:
        """Takes the frame that the next change is for, so that it may be on its way."""

    def apply(
        self, frame: BgrImage, request: LightRequest | None, displacement: Displacement | None
    ) -> BgrImage:
        """The frame with its light changed, then a part of it moved.

        Args:
            frame: `(H, W, 3)`, the one begun with; not written to.
            request: what its light becomes; None: it stays.
            displacement: what moves; None: nothing.

        Returns:
            `(H, W, 3)`, a new image, or `frame` itself where nothing changes.
        """

    def reset(self) -> None:
        """Forgets the frames before."""


def make_applier(card: Card | None, timer: StageTimer) -> ChangeApplier:
    """For one stream, on a card or, without one, on the CPU."""
    return CpuApplier(timer) if card is None else CudaApplier(card, timer)


class CpuApplier:
    """See `ChangeApplier`; the fastest that works here."""

    def __init__(self, timer: StageTimer) -> None:
        self._timer = timer
        self._denoiser = LiftDenoiser()
        self._compositor = fastest_compositor()

    def begin(self, frame: BgrImage) -> None:
        """Nothing is on its way here."""

    def apply(
        self, frame: BgrImage, request: LightRequest | None, displacement: Displacement | None
    ) -> BgrImage:
        """See `ChangeApplier`."""
        if request is not None:
            with self._timer.stage("gains"):
                change = request.change()
            with self._timer.stage("denoise"):
                frame = self._denoiser.apply(frame, change, request.brightened)
            with self._timer.stage("composition"):
                frame = self._compositor.apply(frame, change)
        if displacement is not None:
            with self._timer.stage("view"):
                frame = displaced(frame, displacement)
        return frame

    def reset(self) -> None:
        """See `ChangeApplier`."""
        self._denoiser.reset()
