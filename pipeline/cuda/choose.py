"""Which card an engine's kernels run on."""

from vcam_relight.pipeline.cuda.card import installed_card
from vcam_relight.pipeline.cuda.device import Card


def card_of(device: str) -> Card | None:
    """The card that a device means, or None for the CPU.

    Args:
        device: `cpu`, `cuda`, or `emulated`: a card that is emulated on the CPU.

    Raises:
        CudaError: there is none, or it cannot be used.
    """
    if device == "cpu":
        return None
    if device == "emulated":
        from vcam_relight.pipeline.cuda.emulation.build import emulated_card

        return emulated_card()
    return installed_card()
