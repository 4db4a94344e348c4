"""What each step of a run sees; step `i` follows from the captures, the seed and `i` alone."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from vcam_relight.pipeline.core.tensors import mapped
from vcam_relight.pipeline.head.pose import HeadFinder
from vcam_relight.pipeline.train.captures import is_animated
from vcam_relight.pipeline.train.samples import (
    Batch,
    FlowTargets,
    disturbed,
    joined,
    mirrored,
    read,
    samples,
    tracked,
)

STILLS, ANIMATIONS = 4, 3
"""Captures of a step of stills, two frames of each; and of a step of animations."""
_LENGTH = 3
"""Frames of each animation of a step."""
_READERS = max(1, (os.cpu_count() or 1) // 4)
"""Threads that make steps ahead, twice as many as they are; then they wait."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """What the network is shown at one step."""

    frames: tuple[Batch, ...]
    """Moments of the same people, which the temporal state is carried through: one of stills, two
    of stills that noise and exposure alone tell apart, three of animations."""
    motion: FlowTargets | None
    """Of animations."""


class TrainingSteps:
    """Of every eight steps one is of animations, one of disturbed stills, six are of stills."""

    def __init__(
        self, folder: Path, seed: int, stills: int = STILLS, animations: int = ANIMATIONS
    ) -> None:
        """Lists the captures.

        Args:
            folder: of captures.
            seed: of what is drawn.
            stills: captures of a step of stills; half of them of a step of disturbed stills.
            animations: captures of a step of animations.

        Raises:
            ValueError: there are no captures.
        """
        files = sorted(folder.glob("*.npz"))
        if not files:
            raise ValueError(
                f"there are no captures in {folder}; "
                "`python -m vcam_relight.pipeline.train captures` makes them"
            )
        self._animated = [f for f in files if is_animated(int(f.stem))]
        self._stills = [f for f in files if not is_animated(int(f.stem))] or files
        self._seed = seed
        self._sizes = stills, animations
        self._finder = HeadFinder()

    def make(self, index: int) -> TrainingStep:
        """Step `index`."""
        rng = np.random.default_rng([self._seed, index])
        stills, animations = self._sizes
        kind = index % 8
        if kind == 7 and self._animated:
            return self._sequences(rng, animations)
        if kind == 3:
            batch = self._singles(rng, stills // 2)
            return TrainingStep((disturbed(batch, rng), disturbed(batch, rng)), None)
        return TrainingStep((self._singles(rng, stills),), None)

    def _singles(self, rng: np.random.Generator, count: int) -> Batch:
        parts = []
        for chosen in _some(rng, self._stills, count):
            capture = read(chosen)
            frames = rng.choice(len(capture["sh"]), 2, replace=False)
            lights = rng.integers(2, size=2)
            flip = bool(rng.random() < 0.5)
            batch = tracked(samples(capture, frames, lights, self._finder), rng, False)
            parts.append(mirrored(batch) if flip else batch)
        return joined(parts)

    def _sequences(self, rng: np.random.Generator, count: int) -> TrainingStep:
        sequences, flows, valid = [], [], []
        for chosen in _some(rng, self._animated, count):
            capture = read(chosen)
            start = int(rng.integers(len(capture["sh"]) - _LENGTH + 1))
            frames = range(start, start + _LENGTH)
            lights = [int(rng.integers(2))] * _LENGTH
            batch = samples(capture, frames, lights, self._finder)
            sequences.append(tracked(batch, rng, True))
            flows.append(capture["flow"][start : start + _LENGTH - 1].astype(np.float32))
            valid.append(capture["flow_valid"][start : start + _LENGTH - 1].astype(np.float32))
        flow = torch.from_numpy(np.stack(flows)).permute(0, 1, 4, 2, 3)
        motion = FlowTargets(flow, torch.from_numpy(np.stack(valid))[:, :, None])
        return TrainingStep(
            tuple(joined([_moment(s, t) for s in sequences]) for t in range(_LENGTH)), motion
        )


def _some(rng: np.random.Generator, files: list[Path], count: int) -> list[Path]:
    chosen = rng.choice(len(files), count, replace=len(files) < count)
    return [files[index] for index in chosen]


def _moment(sequence: Batch, t: int) -> Batch:
    return mapped(sequence, lambda tensor: tensor[t : t + 1])


def ahead(make: Callable[[int], T], indices: Iterable[int]) -> Iterator[T]:
    """`make` of each index, in order, some of them made ahead by threads."""
    todo = iter(indices)
    with ThreadPoolExecutor(_READERS) as pool:
        waiting = deque(pool.submit(make, index) for index in islice(todo, 2 * _READERS))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(make, index) for index in islice(todo, 1))
