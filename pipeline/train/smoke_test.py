"""All of training in a minute: what is rendered, learnt, resumed, exported and loaded again."""

import logging
from dataclasses import replace
from pathlib import Path

import torch

from vcam_relight.pipeline.engines.triplane.network.checkpoint import load_network
from vcam_relight.pipeline.train.captures import CaptureFolder
from vcam_relight.pipeline.train.export import export
from vcam_relight.pipeline.train.fit import Trainer, TrainingPlan
from vcam_relight.pipeline.train.frame_bank import FrameBank
from vcam_relight.pipeline.train.objective import show, step_losses, weighted
from vcam_relight.pipeline.train.random_tensors import RandomTensors
from vcam_relight.pipeline.train.samples import TrainingStep

_LOG = logging.getLogger(__name__)
_STEPS = 8
"""Which are of all kinds."""
_BATCH, _RATE = 8, 2e-2


def smoke_test(pack: Path, folder: Path) -> None:
    """Trains for a few steps on a few captures, with a break.

    Args:
        pack: the light stage's.
        folder: left with `captures`, `test`, `run` and `triplane.safetensors`.

    Raises:
        OSError, ValueError: the pack cannot be read, or there is no OpenGL.
        RuntimeError: something is not as it should be.
    """
    train = CaptureFolder(folder / "captures", pack, 0, "train", None)
    for index in train.fill((0, 5), workers=2):  # some poses and an animation
        _LOG.info("capture %d is rendered", index)
    list(replace(train, path=folder / "test", split="test").fill((0,), workers=1))
    plan = TrainingPlan(
        train.path, folder / "test", None, folder / "run", _STEPS, rate=_RATE, batch=_BATCH,
        every=_STEPS, tested=_BATCH,
    )  # fmt: skip
    trainer = Trainer(plan)
    torch.manual_seed(0)
    shown = FrameBank(plan.captures, plan.device).stills(_BATCH, RandomTensors(plan.device))
    before = _error(trainer, shown)
    trainer.run(stop=lambda: trainer.step == _STEPS // 2)
    resumed = Trainer(plan)
    _require(resumed.step == _STEPS // 2, "the run does not go on from where it was stopped")
    resumed.run()
    after = _error(resumed, shown)
    _LOG.info("loss on a fixed batch: %.3f before, %.3f after %d steps", before, after, _STEPS)
    _require(after < before, "the loss does not go down")
    shipped = folder / "triplane.safetensors"
    _LOG.info("%s has the SHA-256 %s", shipped.name, export(plan.out, shipped))
    batch = shown.frames[0]
    light = batch.image.new_tensor([1.0] + [0.0] * 8).expand(len(batch.image), 9)
    with torch.no_grad():
        there, here = (
            show(network, batch.image, batch.pose, light, None)[0]
            for network in (load_network(shipped), resumed.average)
        )
    close = torch.allclose(there.albedo, here.albedo, atol=1e-4)
    _require(close, "the exported network gives other images than the one in training")


@torch.no_grad()
def _error(trainer: Trainer, step: TrainingStep) -> float:
    return weighted(step_losses(trainer.network, step, novel=False)).item()


def _require(fact: bool, otherwise: str) -> None:
    if not fact:
        raise RuntimeError(otherwise)
