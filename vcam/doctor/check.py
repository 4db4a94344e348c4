"""What one check of `vcam doctor` says."""

from dataclasses import dataclass
from typing import Literal

from vcam_relight.vcam.core.errors import VcamError

Level = Literal["ok", "warn", "fail"]
"""`fail` is what keeps the program from its main job; without a camera, a GPU or a virtual camera
it still works, so those are `warn`."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    level: Level
    name: str
    detail: str
    hint: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<4} {self.name}: {self.detail}"
        return f"{line}; {self.hint}" if self.hint else line


def one_line(error: Exception) -> str:
    """An exception's words, with its type unless they were written for people."""
    text = (
        str(error) if isinstance(error, VcamError | OSError) else f"{type(error).__name__}: {error}"
    )
    return " ".join(text.split())
