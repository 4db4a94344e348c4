"""Shares out large pieces of work among the CPU's cores.

torch divides each single operation among its threads and waits at its end for the slowest. Beside
other work on the machine these waits make up most of a frame; a thread that keeps a piece to
itself, and what it holds in its core's cache, waits for nobody.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch


def run_parallel(work: Callable[[int], None], count: int) -> None:
    """Calls `work` with each of 0 to `count` - 1, in any order, on as many threads as torch uses.

    Each call runs in inference mode and, if there are several, has one thread of torch. Raises what
    a call raised.
    """

    def piece(index: int) -> None:
        with torch.inference_mode():
            work(index)

    threads = torch.get_num_threads()
    # Autocast is a thread's own setting.
    alone = min(count, threads) == 1 or torch.is_autocast_enabled("cpu")
    for _ in map(piece, range(count)) if alone else _pool(threads).map(piece, range(count)):
        pass


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(threads, "paper", torch.set_num_threads, (1,))
    started = Barrier(threads)
    list(pool.map(lambda _: started.wait(), range(threads)))
    torch.set_num_threads(threads)  # of threads that are yet to come, which the workers changed
    return pool
