"""Trains the refiner (`engines.triplane.network.refiner`): a step is a few convolutions.

Seeded and resumable: step `i` follows from the seed and `i` alone.
"""

import csv
import hashlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from vcam_relight.pipeline.core.tensors import mapped
from vcam_relight.pipeline.engines.triplane.network.refiner import Refiner
from vcam_relight.pipeline.train.losses import centred, mean, root
from vcam_relight.pipeline.train.refiner_data import SHARD, SeenImages, prepare, read_seen

_LOG = logging.getLogger(__name__)
_LARGEST = 1.0
"""Gradient norm to which larger ones are cut."""
_AVERAGED = 0.998
"""What the averaged refiner, which is the one that is used, keeps of itself at each step."""
_WARM = 100
"""Steps over which the learning rate grows to its full."""
_REMEMBERED = 0.98
"""What the running means of losses keep of themselves at each step."""
_TOGETHER = 32
"""Images of the test split that the refiner is shown at once."""
_DARK = 0.01
"""Linear light added before logarithms."""
_BRIGHTEST = 1.2
"""Linear light at which what is compared is cut off."""

WEIGHTS: dict[str, float] = {
    "relit": 4.0,
    "relit_rms": 6.0,
    "edges": 4.0,
    "shading": 0.5,
    "flicker": 0.25,
    "color": 0.1,
}
"""By name of the loss; `docs/training.md` says what each asks for."""


@dataclass(frozen=True, slots=True)
class RefinePlan:
    """A run."""

    captures: Path
    test_captures: Path
    unlabelled: Path | None
    network: Path
    """The weights of the network that is refined."""
    out: Path
    """A folder: `seen` and `test` with what the refiner is shown, `last.pt` to go on from,
    `curve.csv`, and `refiner.safetensors`, as it is shipped."""
    images: int
    """How many are drawn, in files of eight."""
    steps: int
    """Over which the learning rate falls to nothing."""
    rate: float = 4e-3
    batch: int = 16
    seed: int = 0
    every: int = 250
    """Steps between checkpoints."""
    tested: int = 128
    """Images of the test split that a checkpoint's error is of."""

    @property
    def refiner(self) -> Path:
        """The file that the program ships."""
        return self.out / "refiner.safetensors"


def losses(refiner: Refiner, seen: SeenImages) -> dict[str, Tensor]:
    """Unweighted, by the names of `WEIGHTS`.

    Args:
        refiner: in training.
        seen: float32.
    """
    residual = refiner(seen.features) * seen.difference[:, None, None, None]
    person = seen.person
    error = _errors(seen, residual)
    count = 3 * person.sum((1, 2, 3)) + 1
    square = error.square().sum((1, 2, 3)) / count
    color = residual - residual.mean(1, keepdim=True)
    off = (residual.mean(1, keepdim=True) - _wanted(seen)).abs()
    again = (residual[1:] - residual[:-1]).abs()
    both = person[1:] * person[:-1] * seen.pair[:-1, None, None, None]
    return {
        "relit": _labelled_mean(error.abs().sum((1, 2, 3)) / count, seen),
        "relit_rms": _labelled_mean((square + 1e-6).sqrt(), seen),
        "shading": _labelled_mean(mean_of(off, person), seen),
        "edges": _edges(error, person),
        "flicker": mean(again, both),
        "color": mean(color.abs(), person),
    }


def _labelled_mean(values: Tensor, seen: SeenImages) -> Tensor:
    """Of `(B,)` values."""
    return (values * seen.labelled).sum() / (seen.labelled.sum() + 1e-3)


def _wanted(seen: SeenImages) -> Tensor:
    """`(B, 1, n, n)` the residual that there should be, gray, up to the image's own mean."""
    true, there = ((v.clamp(0, _BRIGHTEST) + _DARK).log() for v in (seen.relit, seen.linear))
    return centred((true - there - seen.change).mean(1, keepdim=True), seen.person).clamp(-1, 1)


def mean_of(values: Tensor, weight: Tensor) -> Tensor:
    """`(B,)` means."""
    return (values * weight).sum((1, 2, 3)) / (values.shape[1] * weight.sum((1, 2, 3)) + 1)


def _errors(seen: SeenImages, residual: Tensor) -> Tensor:
    """`(B, 3, n, n)` of encoded values on the person, after the best gain of each channel.

    Level and white balance of an image are found elsewhere.
    """
    weight = seen.person
    gain = torch.exp(_soft(seen.change + residual))
    out, true = seen.linear * gain, seen.relit.clamp(max=_BRIGHTEST)
    weight = weight * seen.labelled[:, None, None, None]
    scale = (out * true * weight).sum((2, 3)) / ((out**2 * weight).sum((2, 3)) + 1e-4)
    out = out * scale.detach()[:, :, None, None]
    return (root(out.clamp(max=_BRIGHTEST)) - root(true)) * weight


def _soft(log_gain: Tensor) -> Tensor:
    """As `compositing.gain.soft_limit` bends it."""
    square = (log_gain.clamp(min=0) / 2.2).square()
    return log_gain / (1 + square * square).sqrt().sqrt()


def _edges(error: Tensor, person: Tensor) -> Tensor:
    across = (error[..., 1:] - error[..., :-1]) * person[..., 1:] * person[..., :-1]
    down = (error[..., 1:, :] - error[..., :-1, :]) * person[..., 1:, :] * person[..., :-1, :]
    return (across.abs().sum() + down.abs().sum()) / (6 * person.sum() + 1)


class RefinerTrainer:
    """Trains a refiner; goes on from the last checkpoint in the plan's folder."""

    def __init__(self, plan: RefinePlan) -> None:
        self.plan = plan
        network, out, seed = plan.network, plan.out, plan.seed
        seen, test = plan.images // SHARD, max(plan.tested // SHARD, 1)
        prepare(plan.test_captures, None, network, out / "test", test, seed, rooms=0.0)
        prepare(plan.captures, plan.unlabelled, network, out / "seen", seen, seed)
        self._seen, self._test = read_seen(out / "seen", seen), read_seen(out / "test", test)
        torch.manual_seed(plan.seed)
        self.refiner, self.average = Refiner(), Refiner().eval()
        self.average.load_state_dict(self.refiner.state_dict())
        self.optimizer = torch.optim.AdamW(self.refiner.parameters(), plan.rate, weight_decay=1e-3)
        self.step, self.seconds = 0, 0.0
        self._resume()

    def run(self, stop: Callable[[], bool] = lambda: False) -> str:
        """Trains until the plan's end or `stop`, and leaves a checkpoint.

        Returns:
            The SHA-256 of the file `plan.refiner`.
        """
        clock = time.monotonic()
        means: dict[str, float] = {}
        while self.step < self.plan.steps and not stop():
            for name, value in self._take().items():
                means[name] = value + _REMEMBERED * (means.get(name, value) - value)
            self.step += 1
            now = time.monotonic()
            self.seconds, clock = self.seconds + now - clock, now
            if self.step % self.plan.every == 0 or self.step == self.plan.steps:
                self._check(means)
                self._save()
        return self._save()

    def _take(self) -> dict[str, float]:
        plan = self.plan
        random = np.random.default_rng([plan.seed, self.step])
        count = len(self._seen.difference)
        # Two neighbours at a time, so that pairs come as pairs.
        first = 2 * torch.from_numpy(random.choice(count // 2, plan.batch // 2, replace=False))
        chosen = torch.stack([first, first + 1], 1).flatten()
        seen = mapped(self._seen, lambda t: t[chosen].float())
        if random.random() < 0.5:
            seen = _mirrored(seen)
        rate = plan.rate * min(1.0, (self.step + 1) / _WARM)
        rate *= 0.5 + 0.5 * math.cos(math.pi * self.step / plan.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        parts = losses(self.refiner, seen)
        total = torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.refiner.parameters(), _LARGEST)
        self.optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(
                self.average.parameters(), self.refiner.parameters(), strict=True
            ):
                mine.lerp_(theirs, 1 - min(_AVERAGED, self.step / (self.step + 10)))
        return {name: float(value.detach()) for name, value in parts.items()}

    @torch.no_grad()
    def _check(self, means: dict[str, float]) -> None:
        found: dict[str, list[float]] = {}
        for start in range(0, len(self._test.difference), _TOGETHER):
            seen = mapped(self._test, lambda t, s=start: t[s : s + _TOGETHER].float())  # type: ignore[misc]
            for name, value in losses(self.average, seen).items():
                found.setdefault(f"test_{name}", []).append(float(value))
        row = {"step": f"{self.step}", "seconds": f"{self.seconds:.0f}"}
        row |= {name: f"{np.mean(values):.5f}" for name, values in found.items()}
        row |= {name: f"{value:.5f}" for name, value in means.items()}
        _LOG.info("step %d: relit error on the test split %s", self.step, row["test_relit"])
        curve = self.plan.out / "curve.csv"
        fresh = not curve.exists()
        with curve.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)

    def _save(self) -> str:
        part = self.plan.out / "last.part"
        kept = {
            "refiner": self.refiner.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(kept, part)
        part.replace(self.plan.out / "last.pt")
        content = save(self.average.state_dict())
        self.plan.refiner.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def _resume(self) -> None:
        last = self.plan.out / "last.pt"
        if not last.exists():
            return
        kept = torch.load(last, weights_only=True)
        self.refiner.load_state_dict(kept["refiner"])
        self.average.load_state_dict(kept["average"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.step, self.seconds = kept["step"], kept["seconds"]
        _LOG.info("goes on from step %d", self.step)


def _mirrored(seen: SeenImages) -> SeenImages:
    flipped = mapped(seen, lambda t: t.flip(3) if t.dim() == 4 else t)
    flipped.features[:, 0] *= -1  # the normals' x
    return flipped
