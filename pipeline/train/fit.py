"""The training loop: resumable, seeded, on a GPU where there is one."""

import copy
import csv
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.train.losses import WEIGHTS, change, log_gain, losses, novel_loss, relit_error
from pipeline.train.portraits import Portraits, portrait_loss
from pipeline.train.samples import Batch, Motion, disturbed, joined, read, samples
from pipeline.triplane.light import turned
from pipeline.triplane.network import Maps, Sizes, TemporalState, TriplaneNetwork
from pipeline.triplane.pose import HeadFinder

_LOG = logging.getLogger(__name__)
_AHEAD = 3
"""Batches read ahead; when full, reading waits."""
_PERFORMANCE = 6
"""Every so many sittings is a performance."""
_LENGTH = 3
"""Frames of a sequence."""
_EMA = 0.998
_STILL, _SEQUENCES = 4, 3
"""Sittings of a step of single frames, two frames of each, and sequences of a temporal step."""


@dataclass(frozen=True)
class Plan:
    """A run."""

    sittings: Path
    held_out: Path
    portraits: Path | None
    out: Path
    steps: int
    decay: int
    """Steps at the end over which the learning rate falls to nothing."""
    rate: float = 1e-3
    seed: int = 0
    every: int = 250
    """Steps between checkpoints."""


@dataclass
class _Step:
    kind: str
    batch: Batch | list[Batch]
    motion: Motion | None = None


class Loader:
    """Makes the batches of a run on a thread; batch `i` follows from the seed and `i` alone."""

    def __init__(self, plan: Plan, start: int) -> None:
        files = sorted(plan.sittings.glob("*.npz"))
        if not files:
            raise ValueError(f"there are no sittings in {plan.sittings}; render some first")
        self._performances = [f for f in files if int(f.stem) % _PERFORMANCE == _PERFORMANCE - 1]
        self._stills = [f for f in files if f not in set(self._performances)] or files
        self._plan = plan
        self._finder = HeadFinder()
        self._queue: Queue[_Step | BaseException] = Queue(_AHEAD)
        threading.Thread(target=self._run, args=(start,), daemon=True).start()

    def next(self) -> _Step:
        step = self._queue.get()
        if isinstance(step, BaseException):
            raise step
        return step

    def _run(self, start: int) -> None:
        try:
            for index in range(start, self._plan.steps):
                self._queue.put(self._make(index))
        except BaseException as error:  # handed to the reader
            self._queue.put(error)

    def _make(self, index: int) -> _Step:
        rng = np.random.default_rng([self._plan.seed, index])
        kind = index % 6
        if kind == 5 and self._performances:
            return self._sequences(rng)
        if kind == 3:
            batch = self._singles(rng, _STILL // 2)
            return _Step("still", [disturbed(batch, rng) for _ in range(2)])
        return _Step("single", self._singles(rng, _STILL))

    def _singles(self, rng: np.random.Generator, count: int) -> Batch:
        parts = []
        for chosen in rng.choice(len(self._stills), count, replace=len(self._stills) < count):
            sitting = read(self._stills[chosen])
            frames = rng.choice(len(sitting["sh"]), 2, replace=False)
            lights = rng.integers(2, size=2)
            flip = bool(rng.random() < 0.5)
            parts.append(samples(sitting, frames, lights, rng, self._finder, flip, False))
        return joined(parts)

    def _sequences(self, rng: np.random.Generator) -> _Step:
        sequences, flows, valid = [], [], []
        many = len(self._performances)
        for chosen in rng.choice(many, _SEQUENCES, replace=many < _SEQUENCES):
            sitting = read(self._performances[chosen])
            start = int(rng.integers(len(sitting["sh"]) - _LENGTH + 1))
            frames = range(start, start + _LENGTH)
            lights = [int(rng.integers(2))] * _LENGTH
            sequences.append(samples(sitting, frames, lights, rng, self._finder, False, True))
            flows.append(sitting["flow"][start : start + _LENGTH - 1].astype(np.float32))
            valid.append(sitting["flow_valid"][start : start + _LENGTH - 1].astype(np.float32))
        flow = torch.from_numpy(np.stack(flows)).permute(0, 1, 4, 2, 3)
        motion = Motion(flow, torch.from_numpy(np.stack(valid))[:, :, None])
        each = [_frame(sequences, t) for t in range(_LENGTH)]
        return _Step("sequence", each, motion)


def _frame(sequences: list[Batch], t: int) -> Batch:
    from dataclasses import fields

    from pipeline.triplane.space import HeadPose

    picked = []
    for sequence in sequences:
        values = {}
        for field in fields(Batch):
            value = getattr(sequence, field.name)
            values[field.name] = (
                HeadPose(*(getattr(value, n)[t : t + 1] for n in ("rotation", "scale", "shift")))
                if isinstance(value, HeadPose)
                else value[t : t + 1]
            )
        picked.append(Batch(**values))
    return joined(picked)


def asked_light(light: Tensor, rotation: Tensor) -> Tensor:
    """`(B, 9)` what the shading encoder is told of `(B, 9, 3)`: where the light comes from as the
    head sees it, colourless, the first coefficient 1."""
    gray = light @ light.new_tensor([0.2126, 0.7152, 0.0722])
    gray = turned(gray[..., None], rotation)[..., 0]
    return gray / gray[:, :1].clamp(min=1e-3)


def _warped(values: Tensor, flow: Tensor) -> Tensor:
    """The next frame's values at this frame's pixels."""
    side = values.shape[-1]
    line = torch.arange(side, dtype=torch.float32, device=values.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x + flow[:, 0], y + flow[:, 1]], dim=-1)
    places = (places + 0.5) * (2 / side) - 1
    return functional.grid_sample(values, places, padding_mode="border", align_corners=False)


class Trainer:
    """Network, averaged network and optimiser."""

    def __init__(self, plan: Plan, sizes: Sizes | None = None) -> None:
        self.plan = plan
        torch.manual_seed(plan.seed)
        # On a CPU a third faster than the default layout.
        self.network = TriplaneNetwork(sizes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=plan.rate, weight_decay=1e-4
        )
        self.step = 0
        self.best = float("inf")
        self.seconds = 0.0
        self.portraits = Portraits(plan.portraits) if plan.portraits else None
        plan.out.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Trains until the plan's end or `stop`; goes on from the last checkpoint."""
        loader = Loader(self.plan, self.step)
        means: dict[str, float] = {}
        begun = time.monotonic()
        while self.step < self.plan.steps and not stop():
            parts = self._losses(loader.next())
            total = torch.stack([WEIGHTS.get(n, 1.0) * v for n, v in parts.items()]).sum()
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate()
            self.optimizer.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
            if torch.isfinite(norm):  # one bad batch must not end hours of work
                self.optimizer.step()
                self._follow()
            self.step += 1
            for name, value in parts.items():
                now = value.item()
                means[name] = 0.98 * means.get(name, now) + 0.02 * now
            if self.step % 50 == 0:
                now = time.monotonic()
                self.seconds, begun = self.seconds + now - begun, now
                _LOG.info(
                    "step %d, %.0f s: %s", self.step, self.seconds,
                    " ".join(f"{n} {v:.4f}" for n, v in means.items()),
                )  # fmt: skip
            if self.step % self.plan.every == 0 or self.step == self.plan.steps:
                self._check(means)

    def _losses(self, step: _Step) -> dict[str, Tensor]:
        for batch in [step.batch] if isinstance(step.batch, Batch) else step.batch:
            batch.picture = batch.picture.contiguous(memory_format=torch.channels_last)
        if isinstance(step.batch, Batch):
            parts = self._single(step.batch)
        else:
            parts = self._sequence(step.batch, step.motion)
        if self.portraits is not None and self.step % 3 == 0:
            rng = np.random.default_rng([self.plan.seed, self.step, 1])
            parts |= portrait_loss(self.network, self.portraits.sample(rng))
        return parts

    def _single(self, batch: Batch) -> dict[str, Tensor]:
        light = asked_light(batch.light, batch.pose.rotation)
        maps, volume, present, _, planes = self.network(batch.picture, batch.pose, light, None)
        parts = losses(self.network, batch, maps, volume, present)
        if self.step % 2 == 0:
            parts["novel"] = novel_loss(self.network, batch, planes)
        return parts

    def _sequence(self, frames: list[Batch], motion: Motion | None) -> dict[str, Tensor]:
        state: TemporalState | None = None
        seen: list[tuple[Batch, Maps]] = []
        parts: dict[str, Tensor] = {}
        for batch in frames:
            light = asked_light(batch.light, batch.pose.rotation)
            maps, volume, present, state, _ = self.network(batch.picture, batch.pose, light, state)
            seen.append((batch, maps))
            own = losses(self.network, batch, maps, volume, present)
            for name, value in own.items():
                parts[name] = parts.get(name, torch.zeros(())) + value / len(frames)
        flickers = []
        for t, ((first, before), (second, after)) in enumerate(
            zip(seen, seen[1:], strict=False)
        ):
            gain, other = log_gain(before, first.light), log_gain(after, first.light)
            valid = first.person * second.person
            if motion is not None:
                other = _warped(other, motion.flow[:, t])
                valid = first.person * motion.valid[:, t]
            flickers.append(change(gain, other, valid))
        parts["flicker"] = torch.stack(flickers).mean()
        return parts

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / 200)
        left = (self.plan.steps - self.step) / max(self.plan.decay, 1)
        return self.plan.rate * warm * min(1.0, left)

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(_EMA, (1 + self.step) / (10 + self.step))
        for mine, theirs in zip(
            self.average.parameters(), self.network.parameters(), strict=True
        ):
            mine.lerp_(theirs, 1 - keep)

    @torch.no_grad()
    def _check(self, means: dict[str, float]) -> None:
        score = held_out_score(self.average, self.plan.held_out)
        _LOG.info("step %d: held-out relit error %.4f", self.step, score)
        curve = self.plan.out / "curve.csv"
        fresh = not curve.exists()
        with curve.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "seconds", "held_out", *means])
            row = [self.step, round(self.seconds), *(f"{v:.5f}" for v in (score, *means.values()))]
            writer.writerow(row)
        if score < self.best:
            self.best = score
            _save(self.plan.out / "best.pt", {"network": self.average.state_dict()})
        _save(
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
        kept = torch.load(last, map_location="cpu", weights_only=True)
        self.network.load_state_dict(kept["network"])
        self.average.load_state_dict(kept["average"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.step, self.best, self.seconds = kept["step"], kept["best"], kept["seconds"]


def _save(path: Path, content: dict[str, object]) -> None:
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


@torch.no_grad()
def held_out_score(network: TriplaneNetwork, folder: Path) -> float:
    """Mean relit error on people and environments that training never sees."""
    finder, errors = HeadFinder(), []
    for index, path in enumerate(sorted(folder.glob("*.npz"))):
        rng = np.random.default_rng(index)
        batch = samples(read(path), [0, 3, 4], [0, 1, 0], rng, finder, False, False)
        light = asked_light(batch.light, batch.pose.rotation)
        maps = network(batch.picture, batch.pose, light, None)[0]
        errors.append(relit_error(batch, maps).mean())
    return float(torch.stack(errors).mean())
