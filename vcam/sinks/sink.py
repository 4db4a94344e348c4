"""The interface of every sink."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vcam_relight.vcam.core.frame import Frame


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the loop hands to each sink."""

    output: Frame
    """The relit frame (the original's own pixels when nothing was changed)."""
    original: Frame
    """The frame as it came, mirrored like the output: for comparing."""
    settings_id: int
    """The settings that made this output."""


class Sink(Protocol):
    """Takes frames on a thread of its own, behind a one-slot newest-wins mailbox."""

    label: str
    """For people: where the picture goes."""

    @property
    def wanted(self) -> bool:
        """Whether anybody consumes the frames now; if no sink is wanted, nothing is relit."""

    def open(self) -> None:
        """Opens the device or file.

        Raises:
            SinkError: it cannot be opened.
        """

    def write(self, delivery: Delivery) -> None:
        """Shows or stores one frame.

        Raises:
            SinkError: the device or file failed; the loop closes the sink and tries again later.
        """

    def close(self) -> None:
        """Lets go of the device, or completes the file; a second call does nothing."""


@runtime_checkable
class FilledSink(Sink, Protocol):
    """A sink that must not fall silent while no frames come."""

    def fill(self) -> None:
        """Shows something: called twice a second while no frames come.

        Raises:
            SinkError: as in `write`.
        """
