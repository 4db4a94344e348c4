"""The errors that users read. Each is one line: what failed, and a hint what to do about it.

VcamError
 ├─ SourceError   a source cannot be opened or read
 │   └─ SourceLost    it worked and then stopped: worth opening again
 ├─ SinkError     a sink cannot be opened or written
 └─ InputError    a file or value that the user gave is unusable
     └─ UsageError    the command line itself is wrong: exit status 2
"""


class VcamError(Exception):
    """It failed; `str` gives one line with the hint, if there is one."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}" if self.hint else self.what


class SourceError(VcamError):
    """A source cannot be opened or read."""


class SourceLost(SourceError):
    """A source that worked stopped giving frames: unplugged, taken by another program, asleep."""


class SinkError(VcamError):
    """A sink cannot be opened or written."""


class InputError(VcamError):
    """A file or value that the user gave is unusable."""


class UsageError(InputError):
    """The command line itself is wrong: an unknown name, options that exclude each other."""
