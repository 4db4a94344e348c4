"""Settings of the whole process that a stream of frames needs."""

import ctypes
import os
import sys
from functools import cache

import cv2
from threadpoolctl import threadpool_limits

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST_KEPT, _MOST_KEPT = 2**26, 2**28


@cache
def prepare_for_frames() -> None:
    """Readies the process for many small operations on many frames; the first call does.

    - Libraries' threads for pieces of 0.1 ms would wait for one another on cores that other threads
      of the frames need: OpenCV gets one thread, and so does numpy's BLAS unless
      `OPENBLAS_NUM_THREADS` says otherwise.
    - glibc keeps blocks of up to 64 MB that a frame frees for the next one, 256 MB in all, instead
      of asking the system for zeroed pages each time: a tenth of a frame's time.
    """
    cv2.setNumThreads(1)
    if "OPENBLAS_NUM_THREADS" not in os.environ:
        threadpool_limits(1, user_api="blas")
    if sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:  # musl has none
            mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
            mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)
