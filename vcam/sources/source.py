"""The interface of every source."""

from typing import Protocol

from vcam_relight.vcam.core.frame import Frame


class Source(Protocol):
    """Gives frames at their own pace. All methods run on the loop's source thread, but for
    `close`, which may come from another thread to wake a blocked `read`.
    """

    label: str
    """For people: what is being shown."""

    def open(self) -> None:
        """Opens the device, file or connection.

        Raises:
            SourceError: it cannot be opened.
        """

    def read(self) -> Frame | None:
        """Waits for the next frame, two seconds at most; None at the end of the stream.

        Raises:
            SourceLost: it stopped giving frames; the loop closes it and opens it again later.
        """

    def close(self) -> None:
        """Lets go of the device; a second call does nothing."""
