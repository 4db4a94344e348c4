"""The base of every sink."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vcam_relight.vcam.core.frame import Frame

if TYPE_CHECKING:
    from vcam_relight.pipeline.compositing.portrait import Portrait


@dataclass(frozen=True, slots=True)
class ProcessedFrame:
    """What the loop hands to each sink."""

    output: Frame
    """The relit frame (the original's own pixels when nothing was changed)."""
    original: Frame
    """The frame as it came, mirrored like the output: for comparing."""
    settings_id: int
    """The settings that made this output."""
    portrait: Portrait | None = None
    """The largest head, for sinks that need portraits; None where the engine has none."""


class Sink(ABC):
    """Takes frames on a thread of its own, behind a one-slot newest-wins mailbox."""

    kind: ClassVar[str]
    """One word for all sinks of a class, as in state messages."""
    is_page: ClassVar[bool] = False
    """Whether it ends in one of our own web pages."""
    needs_filler: ClassVar[bool] = False
    """Whether `fill` is called while no frames come."""

    needs_portrait: ClassVar[bool] = False
    """Whether it takes `ProcessedFrame.portrait`, which is made only for those that do."""

    label: str
    """For people: where the frames go."""

    @property
    def has_consumers(self) -> bool:
        """Whether anybody takes the frames now; if no sink has consumers, nothing is relit."""
        return True

    @abstractmethod
    def open(self) -> None:
        """Opens the device or file.

        Raises:
            SinkError: it cannot be opened.
        """

    @abstractmethod
    def write(self, frame: ProcessedFrame) -> None:
        """Shows or stores one frame.

        Raises:
            SinkError: the device or file failed; the loop closes the sink and tries again later.
        """

    @abstractmethod
    def close(self) -> None:
        """Releases the device, or completes the file; a second call does nothing."""

    def fill(self) -> None:  # noqa: B027  most sinks may fall silent
        """Shows something in place of a frame that does not come, twice a second.

        Raises:
            SinkError: as in `write`.
        """
