"""The demo clip that comes with the program: a rendered head, so that no camera is needed."""

from dataclasses import replace
from pathlib import Path

from vcam_relight.vcam.core.errors import SourceError
from vcam_relight.vcam.core.frame import Frame
from vcam_relight.vcam.media.letterbox import Letterbox
from vcam_relight.vcam.sources.file import FileSource
from vcam_relight.vcam.sources.source import Source


def demo_clip() -> Path:
    """The clip's file.

    Raises:
        SourceError: it is not there.
    """
    path = Path(__file__).parent.parent / "assets" / "demo.mp4"
    if not path.is_file():
        raise SourceError(
            "the demo clip is missing", f"install the program again, or put {path} back"
        )
    return path


class DemoSource(Source):
    """Plays the demo clip in a loop."""

    kind = "demo"
    label = "demo clip"
    can_pause = True

    def __init__(self, size: tuple[int, int] | None) -> None:
        """Opens nothing yet.

        Args:
            size: width and height of the frames in pixels, letterboxed; None: the clip's own.
        """
        self._letterbox = Letterbox(size) if size else None
        self._file: FileSource | None = None

    def open(self) -> None:
        """Opens the clip.

        Raises:
            SourceError: it is missing or damaged.
        """
        if self._file is None:
            self._file = FileSource(str(demo_clip()))
        self._file.open()

    def read(self) -> Frame | None:
        """The next frame at the time it is due; None once `close` was called."""
        frame = self._file.read() if self._file else None
        if frame is None or self._letterbox is None:
            return frame
        fitted = self._letterbox.fit(frame.image)
        if fitted is frame.image:
            return frame
        return replace(frame, image=fitted.copy())  # the letterbox uses its buffer again

    def close(self) -> None:
        """Closes the clip; a second call does nothing."""
        if self._file is not None:
            self._file.close()
