"""The training loop: seeded, and resumable to the bit on a CPU."""

import copy
import csv
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from vcam_relight.pipeline.core.tensors import moved
from vcam_relight.pipeline.engines.triplane.network.model import TriplaneNetwork
from vcam_relight.pipeline.head.pose import HeadFinder
from vcam_relight.pipeline.lighting.sh_torch import asked_light
from vcam_relight.pipeline.train.batches import (
    ANIMATIONS,
    STILLS,
    TrainingStep,
    TrainingSteps,
    ahead,
)
from vcam_relight.pipeline.train.losses import WEIGHTS, relit_errors
from vcam_relight.pipeline.train.objective import show, step_losses, weighted
from vcam_relight.pipeline.train.samples import read, samples, tracked
from vcam_relight.pipeline.train.unlabelled import UnlabelledSet, unlabelled_losses

_LOG = logging.getLogger(__name__)
_AVERAGED = 0.998
"""What the averaged network, which is the one that is used, keeps of itself at each step."""
_LARGEST = 2.0
"""Gradient norm to which larger ones are cut."""
_WARM = 200
"""Steps over which the learning rate grows to its full."""
_LOGGED = 50
"""Steps between lines of the log."""
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A run."""

    captures: Path
    test_captures: Path
    unlabelled: Path | None
    out: Path
    """A folder: `last.pt` to go on from, `best.pt` by error on the test split, `curve.csv`."""
    steps: int
    decay: int
    """Steps at the end over which the learning rate falls to nothing."""
    rate: float = 1e-3
    seed: int = 0
    every: int = 250
    """Steps between checkpoints."""
    stills: int = STILLS
    animations: int = ANIMATIONS
    """Captures of a step, as `TrainingSteps` takes them."""
    device: torch.device = _CPU


class Trainer:
    """Trains a network; goes on from the last checkpoint in the plan's folder.

    Raises:
        OSError: a file cannot be read.
        ValueError: there are no captures, or none of the test split.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan = plan
        torch.manual_seed(plan.seed)
        # On a CPU a third faster than the default layout.
        network = TriplaneNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: TriplaneNetwork = network.to(plan.device)
        self.average = copy.deepcopy(self.network).eval()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=plan.rate, weight_decay=1e-4
        )
        self.step = 0
        self.best = float("inf")
        self.seconds = 0.0
        self._steps = TrainingSteps(plan.captures, plan.seed, plan.stills, plan.animations)
        if not any(plan.test_captures.glob("*.npz")):
            raise ValueError(
                f"there are no captures in {plan.test_captures}; make some of split `test`"
            )
        self._unlabelled = UnlabelledSet(plan.unlabelled) if plan.unlabelled else None
        plan.out.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Trains until the plan's end or `stop`, and leaves a checkpoint."""
        means: dict[str, float] = {}
        clock = time.monotonic()
        for step in ahead(self._steps.make, range(self.step, self.plan.steps)):
            if stop():
                self._save()
                break
            for name, value in self.train_step(step).items():
                means[name] = 0.98 * means.get(name, value) + 0.02 * value
            now = time.monotonic()
            self.seconds, clock = self.seconds + now - clock, now
            if self.step % _LOGGED == 0:
                values = " ".join(f"{name} {value:.4f}" for name, value in means.items())
                _LOG.info("step %d, %.0f s: %s", self.step, self.seconds, values)
            if self.step % self.plan.every == 0 or self.step == self.plan.steps:
                self._check(means)
                self._save()

    def train_step(self, step: TrainingStep) -> dict[str, float]:
        """Takes one step of the optimiser.

        A step that is not finite changes nothing: one bad batch must not end hours of work, nor
        hide in the means.

        Returns:
            The step's losses by name; none if it was not finite.
        """
        parts = self.losses(step)
        total = weighted(parts)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        fine = bool(torch.isfinite(total))
        if fine:  # grid_sample's backward pass crashes on places that are not numbers
            total.backward()  # type: ignore[no-untyped-call]
            fine = bool(torch.isfinite(clip_grad_norm_(self.network.parameters(), _LARGEST)))
        if fine:
            self.optimizer.step()
            self._follow()
        else:
            _LOG.warning("step %d is left out: it is not finite", self.step)
        self.step += 1
        return {name: value.item() for name, value in parts.items()} if fine else {}

    def losses(self, step: TrainingStep) -> dict[str, Tensor]:
        """Unweighted losses by the names of `WEIGHTS`."""
        parts = step_losses(self.network, self._placed(step), novel=self.step % 2 == 0)
        if self._unlabelled is not None and self.step % 4 == 0:
            rng = np.random.default_rng([self.plan.seed, self.step, 1])
            unlabelled = moved(self._unlabelled.sample(rng), self.plan.device)
            light = step.frames[0].light[: len(unlabelled.image)].to(self.plan.device)
            parts |= unlabelled_losses(self.network, unlabelled, light, rng)
        return parts

    def _placed(self, step: TrainingStep) -> TrainingStep:
        """On the network's device, images in the memory layout of its weights."""
        frames = []
        for batch in step.frames:
            there = moved(batch, self.plan.device)
            image = there.image.contiguous(memory_format=torch.channels_last)
            frames.append(replace(there, image=image))
        return TrainingStep(tuple(frames), step.motion and moved(step.motion, self.plan.device))

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / _WARM)
        left = (self.plan.steps - self.step) / max(self.plan.decay, 1)
        return self.plan.rate * warm * min(1.0, left)

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(_AVERAGED, (1 + self.step) / (10 + self.step))
        for mine, theirs in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mine.lerp_(theirs, 1 - keep)

    def _check(self, means: dict[str, float]) -> None:
        """Writes a row of the curve and keeps the averaged network if it is the best so far."""
        score = score_on_test_split(self.average, self.plan.test_captures, self.plan.device)
        _LOG.info("step %d: relit error on the test split %.4f", self.step, score)
        curve = self.plan.out / "curve.csv"
        fresh = not curve.exists()
        with curve.open("a", newline="") as file:
            writer = csv.DictWriter(file, ["step", "seconds", "test_error", *WEIGHTS])
            if fresh:
                writer.writeheader()
            row = {name: f"{value:.5f}" for name, value in means.items()}
            row |= {"step": str(self.step), "seconds": f"{self.seconds:.0f}"}
            writer.writerow(row | {"test_error": f"{score:.5f}"})
        if score < self.best:
            self.best = score
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
def score_on_test_split(network: TriplaneNetwork, folder: Path, device: torch.device) -> float:
    """Mean absolute error of `relit_errors` on the test split."""
    finder, errors = HeadFinder(), []
    for index, path in enumerate(sorted(folder.glob("*.npz"))):
        rng = np.random.default_rng(index)
        batch = tracked(samples(read(path), [0, 3, 4], [0, 1, 0], finder), rng, False)
        batch = moved(batch, device)
        light = asked_light(batch.light, batch.pose.rotation)
        maps = show(network, batch.image, batch.pose, light, None)[0]
        errors.append(relit_errors(batch, maps)[0].mean())
    return float(torch.stack(errors).mean())


def _replace(path: Path, content: dict[str, Any]) -> None:
    """Writes a file so that at no moment there is half of one."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)
