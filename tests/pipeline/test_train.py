"""Training the tri-plane network: what a run relies on, with captures of noise about true heads."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from support.demo import demo_frames
from vcam_relight.pipeline.core.color_torch import decode_srgb, encode_srgb
from vcam_relight.pipeline.core.tensors import mapped
from vcam_relight.pipeline.engines.triplane.network.checkpoint import (
    SHIPPED,
    checkpoint_path,
    load_network,
)
from vcam_relight.pipeline.engines.triplane.network.model import TriplaneNetwork
from vcam_relight.pipeline.engines.triplane.network.refiner import parse_refiner
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.sh_torch import irradiance
from vcam_relight.pipeline.train.__main__ import main
from vcam_relight.pipeline.train.camera_augmentation import (
    AugmentedCameras,
    film,
    perfect,
    sample_cameras,
)
from vcam_relight.pipeline.train.captures import ANIMATION_LENGTH, LIGHTS
from vcam_relight.pipeline.train.export import export
from vcam_relight.pipeline.train.fit import Trainer, TrainingPlan
from vcam_relight.pipeline.train.frame_bank import FrameBank, LightMixture
from vcam_relight.pipeline.train.losses import WEIGHTS
from vcam_relight.pipeline.train.random_tensors import RandomTensors
from vcam_relight.pipeline.train.refine import RefinePlan, RefinerTrainer
from vcam_relight.pipeline.train.refiner_data import read_seen
from vcam_relight.pipeline.train.samples import mirrored
from vcam_relight.pipeline.train.unlabelled import (
    prepare_unlabelled_set,
    read_unlabelled_set,
    unlabelled_losses,
)

ROUNDED = 1e-4
"""Of values of about 1: rounding of float32."""

ENCODED = 2.5 / 255
"""Between a perfect camera's image and the scene's encoded light: its demosaicing, and 8 bits."""

IN_A_ROOM = 0.03
"""Median, between the linear light of a room's image and that of the scene: 8 bits and JPEG."""

_CPU = torch.device("cpu")
_RANDOM = RandomTensors(_CPU)


def _capture(seed: int) -> dict[str, Tensor]:
    """An animation: noise where images would be, and heads that look into the camera."""
    generator = torch.Generator().manual_seed(seed)
    n = ANIMATION_LENGTH

    def noise(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).half()

    pose = torch.cat([torch.eye(3).flatten(), torch.tensor([0.55, 0.0, 0.0])]).repeat(n, 1)
    sh = torch.zeros(n, LIGHTS, 9, 3)
    sh[:, :, 0] = 1 + noise(n, LIGHTS, 3)
    return {
        "images": noise(n, LIGHTS, 3, 256, 256),
        "shading": noise(n, LIGHTS, 3, 128, 128),
        "alpha": torch.full((n, 1, 256, 256), 255, dtype=torch.uint8),
        "surface": noise(n, 7, 128, 128),
        "novel": noise(n, 8, 64, 64),
        "flow": noise(n, 3, 128, 128),
        "backdrop": noise(n, 3, 256, 256),
        "front": noise(1, 4, 256, 256),
        "radiance": noise(n, LIGHTS, 3, 32, 64),
        "sh": sh,
        "pose": pose,
        "novel_pose": pose.clone(),
    }


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two animations."""
    folder = tmp_path_factory.mktemp("captures")
    for seed in range(2):
        save_file(_capture(seed), folder / f"{seed:06d}.safetensors")
    return folder


@pytest.fixture(scope="module")
def bank(captures: Path) -> FrameBank:
    """Of them."""
    return FrameBank(captures, _CPU)


@pytest.fixture
def plan(captures: Path, tmp_path: Path) -> TrainingPlan:
    """A round of small steps."""
    return TrainingPlan(captures, captures, None, tmp_path / "run", 8, batch=4, every=8, tested=4)


def _scene() -> Tensor:
    """Two of it: smooth, dark on the left, in three colours."""
    line = torch.linspace(0, 1, 256)
    one = 0.05 + 0.5 * line.expand(256, -1)
    return torch.stack([one, 0.8 * one, 0.6 * one.T])[None].expand(2, -1, -1, -1)


def _noiseless(rooms: float) -> AugmentedCameras:
    """Perfect cameras without JPEG, in rooms or not."""
    torch.manual_seed(3)
    cameras = perfect(sample_cameras(_RANDOM, 2, rooms))
    still = torch.full_like(cameras.shot, 1e-12)
    return replace(cameras, quality=torch.full_like(still, 200.0), shot=still, floor=still)


def test_a_perfect_camera_encodes_what_is_there() -> None:
    scene = _scene()
    shot = film(_noiseless(0.0), scene, torch.ones(2, 1, 256, 256), _RANDOM, 256)
    assert ((shot.image + 1) / 2 - encode_srgb(scene)).abs().max() < ENCODED
    assert shot.gain.sub(1).abs().max() < ROUNDED


def test_a_room_takes_light_and_leaves_its_colour_in_the_ground_truth() -> None:
    cameras = _noiseless(1.0)
    cameras = replace(cameras, backlit=torch.ones_like(cameras.backlit))
    scene = _scene() * 0.5
    shot = film(cameras, scene, torch.ones(2, 1, 256, 256), _RANDOM, 256)
    there = decode_srgb((shot.image + 1) / 2) / scene
    light = cameras.light[:, :, None, None]
    assert (there[..., 128:] / light - 1).abs().median() < IN_A_ROOM
    ratio = shot.gain / light
    assert (ratio / ratio.mean(1, keepdim=True) - 1).abs().max() < ROUNDED


def test_drawn_cameras_give_images_that_show_something() -> None:
    torch.manual_seed(0)
    scene = _scene()[:1].expand(8, -1, -1, -1)
    cameras = sample_cameras(_RANDOM, 8, 0.5)
    shot = film(cameras, scene, torch.ones(8, 1, 256, 256), _RANDOM, 112)
    assert shot.image.isfinite().all() and shot.image.abs().max() <= 1
    assert shot.image.std((1, 2, 3)).min() > 0.01
    assert shot.linear.shape == (8, 3, 128, 128)
    assert 0 < cameras.room.mean() < 1


def test_frames_are_linear_in_their_lights(bank: FrameBank) -> None:
    def under(*gains: float) -> Tensor:
        each = torch.tensor(gains, dtype=torch.float32).view(1, 3, 1).expand(-1, -1, 3)
        light = LightMixture(torch.tensor([[0, 3, 5]]), each, torch.zeros(1))
        return bank.scene(torch.tensor([1]), light)

    assert torch.allclose(under(2, 0.5, 0), 2 * under(1, 0, 0) + 0.5 * under(0, 1, 0), atol=ROUNDED)


@pytest.mark.parametrize(("kind", "frames"), [("stills", 1), ("disturbed", 2), ("animated", 3)])
def test_steps_are_what_losses_ask_for(bank: FrameBank, kind: str, frames: int) -> None:
    torch.manual_seed(1)
    step = getattr(bank, kind)(4, _RANDOM)
    assert len(step.frames) == frames and (step.motion is not None) == (kind == "animated")
    for batch in step.frames:
        mapped(batch, lambda t: t.isfinite().all() or pytest.fail("not finite"))  # type: ignore[return-value,arg-type]
        turned = batch.pose.rotation @ batch.pose.rotation.transpose(1, 2)
        assert torch.allclose(turned, torch.eye(3).expand(4, -1, -1), atol=1e-3)
        # A well lit face has an irradiance of about pi.
        assert (batch.light[:, 0].mean(1) < 4 * math.pi).all()


def test_a_mirrored_light_does_to_mirrored_normals_what_it_did(bank: FrameBank) -> None:
    (batch,) = bank.stills(4, _RANDOM).frames
    light = torch.randn(batch.light.shape)
    normal = torch.nn.functional.normalize(batch.normal, dim=1)
    flipped = mirrored(replace(batch, light=light, normal=normal))
    there = irradiance(flipped.light, flipped.normal).flip(3)
    assert (there - irradiance(light, normal)).abs().max() < ROUNDED
    again = mirrored(flipped)
    assert torch.equal(again.image, batch.image) and torch.equal(again.light, light)
    assert torch.equal(again.pose.rotation, batch.pose.rotation)


def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(
    plan: TrainingPlan, tmp_path: Path
) -> None:
    whole = Trainer(replace(plan, out=tmp_path / "whole"))
    new = {name: value.clone() for name, value in whole.network.state_dict().items()}
    whole.run()
    stopped = Trainer(plan)
    stopped.run(stop=lambda: stopped.step == 3)
    resumed = Trainer(plan)
    assert resumed.step == 3
    resumed.run()
    for name in ("network", "average"):
        ours, theirs = (getattr(t, name).state_dict() for t in (resumed, whole))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        assert any(not torch.equal(value, new[key]) for key, value in theirs.items())
    assert resumed.best == whole.best
    rows = (tmp_path / "whole" / "curve.csv").read_text().splitlines()
    row = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    assert len(rows) == 2 and set(WEIGHTS) < set(row)
    for name in ("relit", "level", "energy", "novel", "flicker", "test_error", "room_level"):
        assert 0 < float(row[name]) < math.inf

    first, second = (export(plan.out, tmp_path / f"{n}.safetensors") for n in range(2))
    assert first == second
    shipped = load_network(tmp_path / "0.safetensors").state_dict()
    assert all(torch.equal(shipped[key], value) for key, value in theirs.items())


def test_a_refiner_learns_from_what_the_engine_sees_and_goes_on_where_it_was_stopped(
    captures: Path, tmp_path: Path
) -> None:
    whole = RefinePlan(captures, captures, None, SHIPPED, tmp_path / "whole", 16, 3, tested=8)
    whole = replace(whole, batch=4, every=3)
    first = RefinerTrainer(whole)
    digest = first.run()
    shutil.copytree(whole.out / "seen", tmp_path / "halves" / "seen")
    halves = RefinerTrainer(replace(whole, out=tmp_path / "halves"))
    halves.run(stop=lambda: halves.step == 2)
    resumed = RefinerTrainer(halves.plan)
    assert resumed.step == 2 and resumed.run() == digest
    shipped = parse_refiner(halves.plan.refiner.read_bytes())
    seen = read_seen(whole.out / "test", 1)
    residual = shipped(seen.features.float())
    assert residual.abs().max() > 0
    there = (residual * seen.features[:, -1:]).mean((2, 3)).abs().max()
    assert there < ROUNDED  # a face's level and white balance are not the refiner's


def test_steps_that_are_not_numbers_change_nothing(plan: TrainingPlan, tmp_path: Path) -> None:
    broken = _capture(0)
    broken["shading"].fill_(torch.nan)
    (tmp_path / "broken").mkdir()
    save_file(broken, tmp_path / "broken" / "000000.safetensors")
    trainer = Trainer(replace(plan, captures=tmp_path / "broken", weights=checkpoint_path()))
    trainer.run(stop=lambda: trainer.step == 2)
    before = load_network(checkpoint_path()).state_dict()
    assert all(torch.equal(v, before[n]) for n, v in trainer.network.state_dict().items())


def test_unlabelled_faces_are_found_and_ask_for_the_face_that_is_there(tmp_path: Path) -> None:
    for index, frame in enumerate(demo_frames(4)):
        cv2.imwrite(str(tmp_path / f"{index}.png"), frame)
    file = tmp_path / "unlabelled.npz"
    assert prepare_unlabelled_set(tmp_path, file) == 3  # the first is kept out
    batch = mapped(read_unlabelled_set(file), lambda tensor: tensor[:1])
    inside = batch.face[0, 0] > 0.9
    assert inside.float().mean() > 0.05 and batch.normal[0, 2][inside].mean() > 0.7
    assert batch.mask[0, 0][inside].mean() > 0.9
    network = TriplaneNetwork()
    parts = unlabelled_losses(network, batch, torch.from_numpy(AMBIENT)[None], _RANDOM)
    assert set(parts) <= set(WEIGHTS)
    for name in ("same", "back", "room"):
        network.zero_grad()
        parts[name].backward(retain_graph=True)  # type: ignore[no-untyped-call]
        assert network.encoder.full[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "say what to do"),
        ("fit --captures {0} --test {0} --out {0}/x --steps 5 --device cpu", "no captures in"),
        ("fit --captures {0} --test {0} --out {0}/x --steps 0", "not 1 or more"),
        ("fit --captures {0} --test {0} --out {0}/x --steps 5 --batch 3", "not 4 or more"),
        (
            "fit --captures {0} --test {0} --out {0}/x --steps 5 --weights {0}/w",
            "weights are not at",
        ),
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


def test_a_damaged_capture_is_named(tmp_path: Path) -> None:
    (tmp_path / "000000.safetensors").write_bytes(b"half of it")
    with pytest.raises(ValueError, match=r"000000\.safetensors is damaged"):
        FrameBank(tmp_path, _CPU)
