"""Buffers that are used again: a card takes its time over new ones."""

import weakref

import numpy as np

from vcam_relight.pipeline.cuda.device import Buffer, Card


class Pooled:
    """A buffer of a pool, which goes back there with this object."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer


class BufferPool:
    """Buffers of one shape and type; safe from any thread.

    There are as many as were ever in use at once: what is known of each head holds one.
    """

    def __init__(self, card: Card, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        self._card, self._shape, self._dtype = card, shape, dtype
        self._free: list[Buffer] = []

    def take(self) -> Pooled:
        """One that nobody holds, with anything in it.

        Raises:
            CudaError: there is no room.
        """
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = self._card.empty(self._shape, self._dtype)
        pooled = Pooled(buffer)
        weakref.finalize(pooled, _give_back, self._free, buffer).atexit = False
        return pooled


def _give_back(free: list[Buffer], buffer: Buffer) -> None:
    free.append(buffer)
