"""The base of every source."""

from abc import ABC, abstractmethod
from typing import ClassVar

from vcam_relight.vcam.core.frame import Frame


class Source(ABC):
    """Gives frames at their own pace.

    All methods run on the loop's source thread, but for `close`, which may come from another
    thread to wake a blocked `read`.
    """

    kind: ClassVar[str]
    """One word for all sources of a class: its row in `vcam.sources.registry`, where it has one."""
    can_rest: ClassVar[bool] = False
    """Whether it is worth closing while nobody watches: a webcam's LED turns off."""
    can_pause: bool = False
    """Whether nobody need read while nobody watches: it then goes on from where it was."""
    is_page: ClassVar[bool] = False
    """Whether one of our own web pages feeds it."""

    label: str
    """For people: what is being shown."""

    @abstractmethod
    def open(self) -> None:
        """Opens the device, file or connection.

        Raises:
            SourceError: it cannot be opened.
        """

    @abstractmethod
    def read(self) -> Frame | None:
        """Waits for the next frame, until `close` at most; None at the end of the stream.

        Raises:
            SourceLost: it stopped giving frames; the loop closes it and opens it again later.
        """

    @abstractmethod
    def close(self) -> None:
        """Releases the device; a second call does nothing."""
