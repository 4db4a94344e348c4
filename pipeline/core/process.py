"""Settings of the whole process that a stream of frames needs."""

import ctypes
import os
import sys
from functools import cache

import cv2
from threadpoolctl import threadpool_limits

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8  # malloc.h
_LARGE = 2**25
"""The highest that mallopt(3) lets `M_MMAP_THRESHOLD` be."""
ALL = 2**31 - 1
_FRAMES = 2**28
_kept = 0
"""Bytes that glibc has been asked to keep."""


@cache
def prepare_for_frames() -> None:
    """Readies the process for many small operations on many frames; the first call does.

    Libraries' threads for pieces of 0.1 ms would wait for one another on cores that other threads
    of the frames need: OpenCV gets one thread, and so does numpy's BLAS unless
    `OPENBLAS_NUM_THREADS` says otherwise. What a frame frees is kept for the next one, up to
    256 MB: a tenth of a frame's time.
    """
    cv2.setNumThreads(1)
    if "OPENBLAS_NUM_THREADS" not in os.environ:
        threadpool_limits(1, user_api="blas")
    keep_freed_memory(_FRAMES)


def keep_freed_memory(most: int) -> None:
    """Tells glibc not to give freed memory back to the system; elsewhere it does nothing.

    Zeroed pages from the system cost more than what frames do with them. The setting is the whole
    process's, and only grows.

    Args:
        most: bytes that are kept in all, of blocks of up to 32 MB; `ALL`: any, of any size.
    """
    global _kept
    if most <= _kept or not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl has none
        return
    _kept = most
    mallopt(_M_TRIM_THRESHOLD, most)
    if most < ALL:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
    else:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_ARENA_MAX, 1)  # further arenas give back all the same
