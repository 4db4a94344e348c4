"""How many threads torch uses."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

ALL_THREADS = torch.get_num_threads()
"""As torch came: what other threads may ask it for later depends on who changed it last."""
_here = threading.local()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Lets torch use so many threads for what this thread asks of it; uses may be nested."""
    outer: int = getattr(_here, "count", ALL_THREADS)
    _here.count = count
    torch.set_num_threads(count)
    try:
        yield
    finally:
        _here.count = outer
        torch.set_num_threads(outer)
