"""Where the files lie that come with the program beside its code, and whether they are those."""

import hashlib
import re
from pathlib import Path

_HOME = Path(__file__).resolve().parents[2]

CHECKPOINTS = _HOME / "checkpoints"
"""Weights: the shipped network's, and those that users put there."""
MEDIAPIPE = _HOME / "third_party" / "mediapipe"
"""MediaPipe's models and face mesh tables."""

_SUMS = "SHA256SUMS"


def stated_sums(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 in hexadecimal digits, as the folder's `SHA256SUMS` says.

    Raises:
        OSError: it has none.
    """
    text = (folder / _SUMS).read_text("utf-8")
    return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64}) [ *](.+)$", text, re.M)}


def read_checked(path: Path) -> bytes:
    """The content of a file that comes with the program.

    Raises:
        OSError: the file or the list of sums is missing.
        RuntimeError: it is not the file that was tested.
    """
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != stated_sums(path.parent).get(path.name):
        raise RuntimeError(
            f"{path} is not the file that was tested ({_SUMS} beside it): install the program again"
        )
    return content
