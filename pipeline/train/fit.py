"""The training loop: seeded, resumable to the bit on a CPU, replayed from CUDA graphs on a GPU.

A step is a few thousand small kernels, which take a processor longer to launch than a GPU to run.
So each of the eight kinds of step, from drawing lights and cameras to the optimiser, is captured
once as a CUDA graph, and then replayed.
"""

import copy
import csv
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.core.tensors import mapped, moved
from vcam_relight.pipeline.engines.triplane.network.checkpoint import load_network
from vcam_relight.pipeline.engines.triplane.network.model import TriplaneNetwork
from vcam_relight.pipeline.lighting.sh_torch import asked_light
from vcam_relight.pipeline.train.frame_bank import FrameBank
from vcam_relight.pipeline.train.losses import WEIGHTS, level_error, relit_errors
from vcam_relight.pipeline.train.objective import show, step_losses, weighted
from vcam_relight.pipeline.train.random_tensors import RandomTensors
from vcam_relight.pipeline.train.samples import TrainingStep, half_mirrored
from vcam_relight.pipeline.train.unlabelled import (
    UnlabelledBatch,
    mirrored_unlabelled,
    read_unlabelled_set,
    unlabelled_losses,
)

_LOG = logging.getLogger(__name__)
_AVERAGED = 0.999
"""What the averaged network, which is the one that is used, keeps of itself at each step."""
_LARGEST = 2.0
"""Gradient norm to which larger ones are cut."""
_WARM = 200
"""Steps over which the learning rate grows to its full."""
_REMEMBERED = 0.98
"""What the running means of losses keep of themselves at each step of a kind."""
_UNLABELLED = 16
"""Unlabelled images of a step."""
_AHEAD = 16
"""Steps that a GPU is asked for before the first of them is done."""
_TOGETHER = 16
"""Images of the test split that the network is shown at once."""
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class _StepKind:
    """One of the steps of a round."""

    frames: int
    """Moments of a person: 1 of stills, 2 of disturbed stills, 3 of animations."""
    unlabelled: bool
    """Whether there are unlabelled images beside; else stills are looked at from elsewhere, too."""
    side: int
    """Of the sensors of half of the cameras."""


_ROUND = (
    _StepKind(1, False, 96), _StepKind(1, True, 128), _StepKind(1, False, 160),
    _StepKind(2, False, 144), _StepKind(1, False, 192), _StepKind(1, True, 112),
    _StepKind(1, False, 224), _StepKind(3, False, 176),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A run."""

    captures: Path
    test_captures: Path
    unlabelled: Path | None
    out: Path
    """A folder: `last.pt` to go on from, `best.pt` by error on the test split, `curve.csv`."""
    steps: int
    """Over which the learning rate falls to nothing."""
    weights: Path | None = None
    """The network to begin with, as it is shipped; None for a new one."""
    rate: float = 1e-3
    batch: int = 96
    """Stills of a step; half as many are shown twice, animations are a third."""
    seed: int = 0
    every: int = 250
    """Steps between checkpoints."""
    tested: int = 64
    """Images of the test split that a checkpoint's error is of."""
    device: torch.device = _CPU


class Trainer:
    """Trains a network; goes on from the last checkpoint in the plan's folder.

    Raises:
        OSError: a file cannot be read.
        ValueError: there are no captures, none of the test split or no animation.
        RuntimeError: the weights are damaged or of another network, or memory is short.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan = plan
        self._cuda = plan.device.type == "cuda"
        torch.manual_seed(plan.seed)
        new = load_network(plan.weights) if plan.weights else TriplaneNetwork()
        # On a CPU a third faster than the default layout.
        network: TriplaneNetwork = new.to(plan.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.train().requires_grad_(True)
        self.average = copy.deepcopy(self.network).eval()
        self._mine: list[Tensor] = list(self.average.parameters())
        self._theirs: list[Tensor] = list(self.network.parameters())
        self.optimizer = torch.optim.AdamW(
            self._theirs,
            lr=torch.tensor(plan.rate, device=plan.device),
            weight_decay=1e-4,
            fused=self._cuda,
            capturable=self._cuda,
        )
        self.step = 0
        self.best = float("inf")
        self.seconds = 0.0
        self._random = RandomTensors(plan.device)
        self._bank = FrameBank(plan.captures, plan.device)
        if not self._bank.animations:
            raise ValueError(f"no capture in {plan.captures} is an animation; every sixth is one")
        self._test = FrameBank(plan.test_captures, plan.device)
        self._unlabelled: UnlabelledBatch | None = None
        if plan.unlabelled:
            self._unlabelled = moved(read_unlabelled_set(plan.unlabelled), plan.device)
        self._means = [torch.zeros(len(WEIGHTS), device=plan.device) for _ in _ROUND]
        plan.out.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Trains until the plan's end or `stop`, and leaves a checkpoint."""
        steps = self._captured() if self._cuda else [partial(self._take, k) for k in _ROUND]
        asked: deque[torch.cuda.Event] = deque()
        clock = time.monotonic()
        while self.step < self.plan.steps:
            if stop():
                self._save()
                break
            self._seed()
            self._set_rate()
            steps[self.step % len(_ROUND)]()
            self.step += 1
            if self._cuda:
                asked.append(torch.cuda.current_stream().record_event())
                if len(asked) > _AHEAD:
                    asked.popleft().synchronize()
            now = time.monotonic()
            self.seconds, clock = self.seconds + now - clock, now
            if self.step % self.plan.every == 0 or self.step == self.plan.steps:
                self._check()
                self._save()

    def _take(self, kind: _StepKind) -> None:
        """Takes one step of the optimiser.

        One that is not finite is left out: one bad batch must not end hours of work, nor hide in
        the means. On a GPU, which is not waited for, its gradient counts as 0.
        """
        parts = self._losses(kind)
        total = weighted(parts)
        # On a CPU grid_sample's backward pass crashes on places that are not numbers.
        if not self._cuda and not torch.isfinite(total):
            _LOG.warning("step %d is left out: it is not finite", self.step)
            return
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self._cut()
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._mine, self._theirs, 1 - _AVERAGED)
            zero = torch.zeros((), device=self.plan.device)
            now = torch.stack([parts.get(name, zero).detach() for name in WEIGHTS])
            mean = self._means[_ROUND.index(kind)]
            fresh = torch.where(mean.any(), 1 - _REMEMBERED, 1.0)
            mean.add_(fresh * (now - mean).nan_to_num(0.0))

    def _losses(self, kind: _StepKind) -> dict[str, Tensor]:
        """Unweighted losses by the names of `WEIGHTS`."""
        count, random = self.plan.batch, self._random
        with torch.no_grad():
            if kind.frames == 3:
                step = self._bank.animated(count // 3, random, kind.side)
            elif kind.frames == 2:
                step = self._bank.disturbed(count // 2, random, kind.side)
            else:
                step = self._bank.stills(count, random, kind.side)
        parts = step_losses(self.network, _laid_out(step), novel=not kind.unlabelled)
        if kind.unlabelled and self._unlabelled is not None:
            few = min(_UNLABELLED, count)
            chosen = random.integers(len(self._unlabelled.image), few)
            batch = mapped(self._unlabelled, lambda t: t[chosen])
            light = step.frames[0].light[:few]
            parts |= unlabelled_losses(
                self.network, half_mirrored(batch, mirrored_unlabelled), light, random
            )
        return parts

    def _cut(self) -> None:
        """Bounds the gradient, or drops it if it is not finite, without waiting for the device."""
        grads = [p.grad for p in self._theirs if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        share = torch.where(norm.isfinite(), (_LARGEST / (norm + 1e-6)).clamp(max=1.0), 0.0)
        for grad in grads:
            grad.nan_to_num_(0.0, 0.0, 0.0)
        torch._foreach_mul_(grads, share)

    def _captured(self) -> list[Callable[[], None]]:
        """The steps of a round as CUDA graphs; each is taken three times on the way."""
        self._set_rate()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                for kind in _ROUND:
                    self._take(kind)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        graphs: list[torch.cuda.CUDAGraph] = []
        for kind in _ROUND:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=graphs[0].pool() if graphs else None):
                self._take(kind)
            graphs.append(graph)
        return [graph.replay for graph in graphs]

    def _seed(self) -> None:
        """Makes a step follow from the plan's seed and its number alone."""
        state = np.random.SeedSequence([self.plan.seed, self.step]).generate_state(1)
        torch.manual_seed(int(state[0]))

    def _set_rate(self) -> None:
        """In place, as a captured step reads the tensor that it was given."""
        rate = self.plan.rate * min(1.0, (self.step + 1) / _WARM)
        rate *= 0.5 + 0.5 * math.cos(math.pi * min(self.step / self.plan.steps, 1.0))
        for group in self.optimizer.param_groups:
            group["lr"].fill_(rate)

    def _check(self) -> None:
        """Writes a row of the curve and keeps the averaged network if it is the best so far."""
        row = {"step": f"{self.step}", "seconds": f"{self.seconds:.0f}"}
        for name, rooms in (("test", 0.0), ("room", 1.0)):
            errors = errors_on_test_split(
                self.average, self._test, self.plan.tested, rooms, self._random
            )
            row |= {f"{name}_{key}": f"{value:.5f}" for key, value in errors.items()}
        _LOG.info("step %d: relit error on the test split %s", self.step, row["test_error"])
        means = torch.stack(self._means)
        losses = (means.sum(0) / (means != 0).sum(0).clamp(min=1)).tolist()
        row |= {name: f"{value:.5f}" for name, value in zip(WEIGHTS, losses, strict=True)}
        curve = self.plan.out / "curve.csv"
        fresh = not curve.exists()
        with curve.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        if float(row["test_error"]) < self.best:
            self.best = float(row["test_error"])
            _replace(self.plan.out / "best.pt", {"network": self.average.state_dict()})

    def _save(self) -> None:
        _replace(
            self.plan.out / "last.pt",
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "best": self.best,
                "seconds": self.seconds,
            },
        )

    def _resume(self) -> None:
        last = self.plan.out / "last.pt"
        if not last.exists():
            return
        kept = torch.load(last, map_location=self.plan.device, weights_only=True)
        self.network.load_state_dict(kept["network"])
        self.average.load_state_dict(kept["average"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.step, self.best, self.seconds = kept["step"], kept["best"], kept["seconds"]
        _LOG.info("goes on from step %d", self.step)


@torch.no_grad()
def errors_on_test_split(
    network: TriplaneNetwork, bank: FrameBank, count: int, rooms: float, random: RandomTensors
) -> dict[str, float]:
    """Errors on the same images at each call, which seeds torch's generator.

    Args:
        network: on the bank's device.
        bank: of captures of the test split.
        count: of images.
        rooms: share of the images taken in rooms, see `camera_augmentation`.
        random: on the bank's device.

    Returns:
        `error` and `rms`, means over images of what `relit_errors` gives, and `level`, of
        `level_error`.
    """
    torch.manual_seed(0)
    rows = []
    for start in range(0, count, _TOGETHER):
        some = min(_TOGETHER, count - start)
        (batch,) = bank.stills(some, random, rooms=rooms).frames
        light = asked_light(batch.light, batch.pose.rotation)
        maps = show(network, batch.image, batch.pose, light, None)[0]
        absolute, root_mean_square = relit_errors(batch, maps)
        level = level_error(maps.albedo, batch.albedo, batch.person)
        rows.append(some * torch.stack([absolute.mean(), root_mean_square.mean(), level]))
    means = (torch.stack(rows).sum(0) / count).tolist()
    return dict(zip(("error", "rms", "level"), means, strict=True))


def _laid_out(step: TrainingStep) -> TrainingStep:
    """Images in the memory layout of the network's weights."""
    frames = tuple(
        replace(batch, image=batch.image.contiguous(memory_format=torch.channels_last))
        for batch in step.frames
    )
    return TrainingStep(frames, step.motion)


def _replace(path: Path, content: dict[str, Any]) -> None:
    """Writes a file so that at no moment there is half of one."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)
