"""Keeps the memory that one frame frees for the next."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Tells glibc not to give large blocks back to the system; elsewhere it does nothing.

    A frame on the CPU takes and frees some gigabytes in blocks of up to 134 MB. Getting zeroed
    pages from the system each time costs a tenth of the frame, more where page faults are dear.
    The setting is the whole process's; at its highest, its memory is what one frame needs.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
        mallopt(_M_ARENA_MAX, 1)  # further arenas give back all the same
