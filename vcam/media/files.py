"""Video files as libav is told of them: their names, their endings and the encoders for each."""

from pathlib import Path

from vcam_relight.vcam.core.errors import InputError

H264, VP9 = "libx264", "libvpx-vp9"

MOVIES = frozenset({".mp4", ".m4v", ".mov"})
"""File name endings, in lower case, of the containers that take `movflags`."""

ENCODERS = {".mp4": H264, ".m4v": H264, ".mov": H264, ".mkv": H264, ".webm": VP9}
"""File name ending, in lower case, of each file that can be written -> its encoder."""


def encoder_of(path: Path) -> str:
    """The encoder for the file's ending.

    Raises:
        InputError: no known ending.
    """
    try:
        return ENCODERS[path.suffix.lower()]
    except KeyError:
        raise InputError(
            f"{path} has no known video ending", f"use one of {', '.join(ENCODERS)}"
        ) from None


def av_name(path: Path) -> str:
    """The local file's name for `av.open`, which takes what is before a colon for a protocol."""
    return f"file:{path}"
