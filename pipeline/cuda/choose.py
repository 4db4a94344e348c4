"""Which card an engine's kernels run on."""

from vcam_relight.pipeline.cuda.card import installed_card
from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.cuda.driver import FailedCardError


def card_of(device: str) -> Card | None:
    """The card that a device means, or None for the CPU.

    Args:
        device: `cpu`, `cuda`, or `emulated`: a card that is emulated on the CPU.

    Raises:
        NoCardError: there is none.
        FailedCardError: it failed since the program began.
        CudaError: it cannot be used.
    """
    if device == "cpu":
        return None
    if device == "emulated":
        from vcam_relight.pipeline.cuda.emulation.build import emulated_card

        card = emulated_card()
    else:
        card = installed_card()
    if card.problem:
        raise FailedCardError(f"{card.name} has failed: {card.problem}")
    return card
