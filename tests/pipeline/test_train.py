"""Training the tri-plane network: what a run relies on, with captures of noise about true heads."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from support.demo import demo_frames
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.tensors import mapped
from vcam_relight.pipeline.engines.triplane.network.checkpoint import load_network
from vcam_relight.pipeline.engines.triplane.network.model import TriplaneNetwork
from vcam_relight.pipeline.face.models import load_pose_basis
from vcam_relight.pipeline.head.pose import HeadFinder
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.sh import basis
from vcam_relight.pipeline.lightstage.camera.framing import jittered_camera, orbit
from vcam_relight.pipeline.train.__main__ import main
from vcam_relight.pipeline.train.batches import TrainingStep, TrainingSteps
from vcam_relight.pipeline.train.captures import INPUT, NOVEL, TARGET, Capture
from vcam_relight.pipeline.train.export import export
from vcam_relight.pipeline.train.fit import Trainer, TrainingPlan
from vcam_relight.pipeline.train.losses import WEIGHTS
from vcam_relight.pipeline.train.samples import mirrored, samples
from vcam_relight.pipeline.train.unlabelled import (
    UnlabelledSet,
    prepare_unlabelled_set,
    unlabelled_losses,
)

MIRRORED = 1e-5
"""Of a pose or a map in a mirror: rounding of float32, 2e-6 measured."""

_FRAMES, _STEPS = 6, 4
_ACROSS = np.array([-1, 1, 1], np.float32)


def _capture(seed: int) -> Capture:
    """Noise where images would be, but true heads, cameras and lights."""
    rng = np.random.default_rng(seed)
    rows = [_frame(rng) for _ in range(_FRAMES)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _frame(rng: np.random.Generator) -> Capture:
    turn = cv2.Rodrigues(rng.normal(0, 0.3, 3))[0]
    camera = jittered_camera(rng, INPUT, np.zeros(3, np.float32))
    middle = np.array([0, -0.3, -0.8], np.float32)
    novel = orbit(camera, middle, rng.uniform(-20, 20), rng.uniform(-10, 10))

    def noise(*shape: int) -> np.ndarray:
        return rng.uniform(0.1, 1, shape).astype(np.float16)

    row = {
        "input": (255 * noise(2, INPUT, INPUT, 3)).astype(np.uint8),
        "occluded": (9 * noise(2, TARGET, TARGET)).astype(np.uint8),
        "gain": rng.uniform(0.5, 2, (2, 3)).astype(np.float32),
        "sh": rng.normal(0, 0.2, (2, 9, 3)).astype(np.float32) + np.eye(9, 1)[:, :, None][:, 0],
        "landmarks": camera.project(_face() @ turn.T),
        "camera": np.array([*camera.position, camera.focal], np.float32),
        "novel_camera": np.array(
            [*novel.position, *novel.rotation.ravel(), novel.focal], np.float32
        ),
        "images": noise(2, TARGET, TARGET, 3),
        "shading": noise(2, TARGET, TARGET, 3),
        "flow": np.zeros((TARGET, TARGET, 2), np.float16),
        "flow_valid": np.ones((TARGET, TARGET), np.bool_),
    }
    for prefix, side in (("", TARGET), ("novel_", NOVEL)):
        row[f"{prefix}albedo"], row[f"{prefix}normal"] = noise(2, side, side, 3)
        row[f"{prefix}alpha"] = (noise(side, side) > 0.4).astype(np.float16)
        row[f"{prefix}depth"] = 8 + noise(side, side)
    return row


def _face() -> FloatArray:
    """`(468, 3)` dm: the canonical face's points that tell a head's pose; the others within it."""
    indices, weights, points = load_pose_basis()
    face = np.tile(np.average(points, axis=0, weights=weights), (468, 1))
    face[indices] = points
    return np.asarray(face / 10, np.float32)


def _in_a_mirror(capture: Capture) -> Capture:
    """What would have been rendered of a mirrored world, in which left and right landmarks swap."""
    indices, _, points = load_pose_basis()
    apart = np.linalg.norm(points[:, None] * _ACROSS - points, axis=2)
    partners = np.arange(468)
    partners[indices] = indices[apart.argmin(0)]
    seen = {
        name: np.flip(values, -2 if values.shape[-1] in (2, 3) else -1)
        for name, values in capture.items()
        if values.shape[-1] >= NOVEL or values.shape[-2] >= NOVEL
    }
    landmarks = capture["landmarks"][:, partners] * _ACROSS + np.float32([INPUT, 0, 0])
    novel = capture["novel_camera"].copy()
    novel[:, :3] *= _ACROSS
    novel[:, 3:12] *= np.outer(_ACROSS, _ACROSS).ravel()
    directions = np.random.default_rng(0).normal(size=(99, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    turned = np.linalg.pinv(basis(directions)) @ basis(directions * _ACROSS)
    return (
        capture
        | seen
        | {
            "normal": seen["normal"] * _ACROSS,
            "novel_normal": seen["novel_normal"] * _ACROSS,
            "landmarks": landmarks,
            "camera": capture["camera"] * np.float32([-1, 1, 1, 1]),
            "novel_camera": novel,
            "sh": turned @ capture["sh"],
        }
    )


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in dataclasses and tuples, with where they are."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _tensors(item, f"{name}[{index}]")
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name), f"{name}.{field.name}")


def _same(one: Any, other: Any) -> bool:
    pairs = zip(_tensors(one), _tensors(other), strict=True)
    return all(torch.equal(a, b) for (_, a), (_, b) in pairs)


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of poses and an animation."""
    folder = tmp_path_factory.mktemp("captures")
    for index in (0, 1, 5):
        arrays: dict[str, Any] = _capture(index)
        np.savez(folder / f"{index:06d}.npz", **arrays)
    return folder


@pytest.fixture
def plan(captures: Path, tmp_path: Path) -> TrainingPlan:
    """A short run of small steps."""
    return TrainingPlan(
        captures, captures, None, tmp_path / "run", _STEPS, 2, every=_STEPS, stills=2, animations=1
    )


def test_a_mirrored_batch_is_a_batch_of_the_mirrored_world() -> None:
    capture, finder = _capture(7), HeadFinder()
    lights = [0, 1] * 3
    flipped = mirrored(samples(capture, range(_FRAMES), lights, finder))
    reference = samples(_in_a_mirror(capture), range(_FRAMES), lights, finder)
    for (name, ours), (_, theirs) in zip(_tensors(flipped), _tensors(reference), strict=True):
        assert (ours - theirs).abs().max() < MIRRORED, name


def test_a_step_follows_from_the_seed_and_its_index_alone(plan: TrainingPlan) -> None:
    steps = TrainingSteps(plan.captures, seed=3)
    later = [steps.make(index) for index in (7, 3, 0)]
    for index, step in zip((0, 3, 7), reversed(later), strict=True):
        assert _same(step, TrainingSteps(plan.captures, seed=3).make(index))
        assert not _same(step, TrainingSteps(plan.captures, seed=4).make(index))
    assert [len(step.frames) for step in later] == [3, 2, 1]


def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(
    plan: TrainingPlan, tmp_path: Path
) -> None:
    whole = Trainer(replace(plan, out=tmp_path / "whole"))
    whole.run()
    stopped = Trainer(plan)
    stopped.run(stop=lambda: stopped.step == 2)
    resumed = Trainer(plan)
    assert resumed.step == 2
    resumed.run()
    for name in ("network", "average"):
        ours, theirs = (getattr(t, name).state_dict() for t in (resumed, whole))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert resumed.best == whole.best
    rows = (plan.out / "curve.csv").read_text().splitlines()
    assert rows[0].split(",") == ["step", "seconds", "test_error", *WEIGHTS] and len(rows) == 2

    first, second = (export(plan.out, tmp_path / f"{n}.safetensors") for n in range(2))
    assert first == second
    shipped = load_network(tmp_path / "0.safetensors").state_dict()
    assert all(torch.equal(shipped[key], value) for key, value in theirs.items())


def test_a_step_that_is_not_a_number_changes_nothing(plan: TrainingPlan) -> None:
    trainer = Trainer(plan)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    frame = mapped(TrainingSteps(plan.captures, 0).make(0).frames[0], lambda tensor: tensor[:1])
    good, image = TrainingStep((frame,), None), frame.image.clone()
    image[0, 0, 9, 9] = torch.nan
    assert trainer.train_step(TrainingStep((replace(frame, image=image),), None)) == {}
    assert all(torch.equal(value, before[n]) for n, value in trainer.network.state_dict().items())
    assert all(np.isfinite(value) for value in trainer.train_step(good).values())
    assert any(not torch.equal(v, before[n]) for n, v in trainer.network.state_dict().items())


def test_unlabelled_faces_are_found_and_ask_for_the_face_that_is_there(tmp_path: Path) -> None:
    for index, frame in enumerate(demo_frames(4)):
        cv2.imwrite(str(tmp_path / f"{index}.png"), frame)
    assert (
        prepare_unlabelled_set(tmp_path, tmp_path / "unlabelled.npz") == 3
    )  # the first is kept out
    rng = np.random.default_rng(0)
    batch = UnlabelledSet(tmp_path / "unlabelled.npz").sample(rng)
    inside = batch.face[0, 0] > 0.9
    assert inside.float().mean() > 0.05 and batch.normal[0, 2][inside].mean() > 0.7
    assert batch.mask[0, 0][inside].mean() > 0.9
    network = TriplaneNetwork()
    first = mapped(batch, lambda tensor: tensor[:1])
    parts = unlabelled_losses(network, first, torch.from_numpy(AMBIENT)[None], rng)
    assert set(parts) <= set(WEIGHTS)
    for name in ("same", "back"):
        network.zero_grad()
        parts[name].backward(retain_graph=True)  # type: ignore[no-untyped-call]
        assert network.encoder.full[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "say what to do"),
        ("fit --captures {0} --test {0} --out {0}/x --steps 5 --decay 1", "no captures in"),
        ("fit --captures {0} --test {0} --out {0}/x --steps 0 --decay 1", "not 1 or more"),
        ("export --run {0}", "no best.pt"),
        ("unlabelled --images {0} --out {0}/p.npz", "images with one face"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments.format(tmp_path).split())
    except SystemExit as error:
        status = int(str(error.code))
    complaint = capsys.readouterr().err
    assert status and complaint.count("\n") == 1 and says in complaint
