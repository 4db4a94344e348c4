"""The paper's network with random weights: its errors, its memory, its shortcuts."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from support.paper_weights import empty_state, random_network
from vcam_relight.pipeline.engines.paper import (
    CheckpointError,
    PaperModel,
    fade_lights,
    load_network,
    look_at,
)
from vcam_relight.pipeline.engines.paper.camera import normals, rays
from vcam_relight.pipeline.engines.paper.convolution import Kernel
from vcam_relight.pipeline.engines.paper.layers import ModulatedLayer
from vcam_relight.pipeline.engines.paper.model import light_of
from vcam_relight.pipeline.engines.paper.renderer import _corners, _gather, _rows
from vcam_relight.pipeline.engines.paper.temporal import PlaneHistory, TemporalNetwork, new_history
from vcam_relight.pipeline.engines.paper.transformer import _attend
from vcam_relight.pipeline.engines.paper.workers import run_parallel

PAPER_KERNEL = 2e-5
"""Relative error of a rearranged convolution against the plain one, float32: 3e-6 was measured for
Winograd's transforms."""

SURFACE = 2e-3
"""Of the cube's side, between a sphere and its mesh from 48 cells a side."""

HALVES = 5e-3
"""Relative to the picture of random weights: products of halves through some hundred layers."""

SIZE = 64  # of the image, instead of 512: a 64th of the work


@pytest.fixture(scope="module")
def model() -> PaperModel:
    return PaperModel(random_network(SIZE))


def image(seed: int) -> torch.Tensor:
    return torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


LIGHT = torch.tensor([[0.7, 0.1, 0.4, -0.2, 0.0, 0.1, -0.1, 0.05, 0.0]])
OTHER = torch.tensor([[0.9, -0.3, 0.1, 0.5, 0.1, 0.0, 0.1, -0.05, 0.2]])
FRONT = look_at(0, 0)


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


# The image's way through the network


def test_outputs_are_complete_and_the_same_each_time(model: PaperModel) -> None:
    first = model.image_forward(image(1), LIGHT, FRONT)
    second = model.image_forward(image(1), LIGHT, FRONT)
    shapes = {name: tuple(getattr(first, name).shape[1:]) for name in first.__slots__}
    assert shapes == {
        "image": (3, 512, 512),
        "image_raw": (3, 64, 64),
        "feat": (32, 64, 64),
        "albedo": (3, 64, 64),
        "shading": (1, 64, 64),
        "depth": (1, 64, 64),
        "normal": (3, 64, 64),
    }
    for name in shapes:
        assert torch.isfinite(getattr(first, name)).all()
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_kept_planes_give_the_same_image_under_another_light_and_view(model: PaperModel) -> None:
    person = model.encode(image(1))
    model.render(person, model.shade(person, LIGHT), FRONT)
    side = look_at(20, 5)
    kept = model.render(person, model.shade(person, OTHER), side)
    whole = model.image_forward(image(1), OTHER, side)
    assert torch.equal(kept.image, whole.image)
    assert torch.equal(kept.normal, whole.normal)
    front = model.render(person, model.shade(person, OTHER), FRONT)
    assert not torch.equal(kept.image, front.image)


def test_stages_are_timed(model: PaperModel) -> None:
    model.timer.start_frame()
    list(model.video_forward([(image(1), LIGHT, FRONT)], model.new_history()))
    assert set(model.timer.ms) == {
        "deeplab", "low", "high", "hybrid", "style",
        "shading", "temporal", "render", "superresolution",
    }  # fmt: skip


@pytest.mark.slow  # processors multiply halves slowly
def test_in_halves_the_picture_is_the_same(model: PaperModel) -> None:
    half = PaperModel(random_network(SIZE), precision="float16")
    (full,) = model.video_forward([(image(1), LIGHT, FRONT)], model.new_history())
    (found,) = half.video_forward([(image(1), LIGHT, FRONT)], half.new_history())
    assert found.image.dtype == torch.float32
    assert relative(found.image, full.image) < HALVES


def test_wrong_shapes_are_named(model: PaperModel) -> None:
    with pytest.raises(ValueError, match=r"image must be \(1, 3, 64, 64\), not \(1, 3, 8, 8\)"):
        model.encode(torch.zeros(1, 3, 8, 8))
    person = model.encode(image(1))
    with pytest.raises(ValueError, match=r"light must be \(1, 9\), not \(9,\)"):
        model.shade(person, LIGHT[0])
    with pytest.raises(ValueError, match=r"camera must be \(1, 25\)"):
        model.render(person, person.planes, FRONT[:, :16])


@pytest.mark.slow
def test_an_image_of_full_size() -> None:
    model = PaperModel(random_network(512))
    out = model.image_forward(torch.zeros(1, 3, 512, 512), LIGHT, FRONT)
    assert torch.isfinite(out.image).all()
    assert out.image.std() > 0


# The memory of a stream


def test_a_change_of_light_shows_at_once(model: PaperModel) -> None:
    still, state = model.encode(image(1)), model.new_history()
    for _ in range(5):
        model.smooth(still, LIGHT, state)
    changed = model.smooth(still, OTHER, state)
    fresh = model.smooth(still, OTHER, model.new_history())
    assert torch.equal(changed[1], fresh[1])
    assert torch.equal(changed[0].planes, fresh[0].planes)


def small_network() -> TemporalNetwork:
    with torch.device("meta"):
        network = TemporalNetwork()
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.empty(value.shape).normal_(0, 0.1, generator=generator)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    network.prepare()
    return network.requires_grad_(False)


def correction(network: TemporalNetwork, seeds: list[int], frozen: bool = False) -> torch.Tensor:
    state = new_history(4, torch.device("cpu"), frozen)
    push(state, seeds)
    return torch.stack(network(state.albedo, state.shading, state.order))


def push(history: PlaneHistory, seeds: list[int]) -> None:
    for seed in seeds:
        planes = torch.randn(2, 1, 96, 4, 4, generator=torch.Generator().manual_seed(seed))
        history.push(planes[0], planes[1], history.next(light_of(LIGHT)))


def test_the_sixth_frame_forgets_the_first() -> None:
    network = small_network()
    assert not torch.equal(
        correction(network, [1, 2, 3, 4, 5]), correction(network, [9, 2, 3, 4, 5])
    )
    assert torch.equal(
        correction(network, [1, 2, 3, 4, 5, 6]), correction(network, [9, 2, 3, 4, 5, 6])
    )


def test_the_ring_keeps_the_order_of_frames() -> None:
    network = small_network()
    late = correction(network, [8, 9, 1, 2, 3, 4, 5])
    assert torch.equal(late, correction(network, [1, 2, 3, 4, 5]))
    assert not torch.equal(late, correction(network, [5, 4, 3, 2, 1]))


def test_the_frozen_ring_never_changes_after_the_fifth_frame() -> None:
    network = small_network()
    assert torch.equal(
        correction(network, [1, 2, 3, 4, 5, 6, 7], frozen=True),
        correction(network, [1, 2, 3, 4, 5]),
    )


def test_reset_forgets_the_stream() -> None:
    network, state = small_network(), new_history(4, torch.device("cpu"))
    push(state, [8, 9])
    state.reset()
    push(state, [1])
    after = torch.stack(network(state.albedo, state.shading, state.order))
    assert torch.equal(after, correction(network, [1]))


def test_attention_over_one_element_is_folded_rightly() -> None:
    block = small_network().transformer_blocks_stream1[0]
    x = torch.randn(1, 7, 96, generator=torch.Generator().manual_seed(1))
    wanted = block.self_attention(x, x, x)[0][0]
    weight, bias = block.folded()
    assert relative(F.linear(x[0], weight, bias), wanted) < PAPER_KERNEL


# Lights and cameras


def test_lights_fade_evenly() -> None:
    lights = torch.arange(27.0).view(3, 9)
    faded = fade_lights(lights, 5)
    assert torch.equal(faded[[0, 2, 4]], lights)
    assert torch.allclose(faded[1], (lights[0] + lights[1]) / 2)
    assert torch.equal(fade_lights(lights[:1], 2), lights[:1].expand(2, -1))


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (25, 0), (-10, 12)])
def test_cameras_look_at_the_head(yaw: float, pitch: float) -> None:
    view = rays(look_at(yaw, pitch), 65)
    ahead = view.directions[65 * 65 // 2]
    assert torch.allclose(view.origin + 2.7 * ahead, torch.zeros(3), atol=1e-5)
    assert np.sign(view.origin[0].item().__round__(6)) == np.sign(yaw)
    assert np.sign(view.origin[1].item().__round__(6)) == np.sign(pitch)
    corner = view.directions[0] @ view.rotation
    assert corner[0] < 0 and corner[1] < 0 and corner[2] > 0  # right, down, forward


def test_normals_of_a_sphere_point_outward_in_camera_space() -> None:
    view = rays(look_at(20, -10), 64)
    radius = 0.4
    along = -(view.directions @ view.origin)
    depth = along - (along**2 - (view.origin @ view.origin - radius**2)).clamp(min=0).sqrt()
    found = normals(depth.view(1, 1, 64, 64), view)
    outward = (view.points(depth[:, None])[:, 0] / radius) @ view.rotation
    wanted = (outward * torch.tensor([1.0, -1.0, -1.0])).t().view(3, 64, 64)
    middle = slice(12, 52)
    cosine = (found[0] * wanted).sum(0)[middle, middle]
    assert cosine.min() > 0.995


# Shortcuts against the plain way


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_winograd_equals_the_plain_convolution(
    dilation: int, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setattr(f"{Kernel.__module__}.network_kernels", lambda: None)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(96, 128, 3, 3, generator=generator)
    x = torch.randn(1, 128, 48, 80, generator=generator)
    scale, bias = torch.rand(128, generator=generator), torch.randn(96, generator=generator)
    wanted = F.conv2d(x * scale[:, None, None], weight, bias, padding=dilation, dilation=dilation)
    kernel = Kernel(weight, dilation)
    assert relative(kernel(x, bias, scale), wanted) < PAPER_KERNEL
    plain = F.conv2d(x, weight, padding=dilation, dilation=dilation)
    assert relative(kernel(x), plain) < PAPER_KERNEL


def test_pieces_of_work_are_each_done_once_and_a_failure_is_told() -> None:
    done: list[int] = []
    threads = torch.get_num_threads()
    run_parallel(done.append, 40)
    assert sorted(done) == list(range(40)) and torch.get_num_threads() == threads

    def fail(index: int) -> None:
        raise ValueError(f"piece {index}")

    with pytest.raises(ValueError, match="piece 0"):
        run_parallel(fail, 3)


def test_upsampling_in_one_convolution_equals_stylegan2s_two_steps() -> None:
    layer = ModulatedLayer(8, 6, 20, upsample=True, noise=False).requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for parameter in layer.parameters():
        parameter.normal_(generator=generator)
    taps = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
    layer.resample_filter = taps
    layer.prepare()
    x = torch.randn(1, 8, 10, 10, generator=generator)
    style = torch.randn(1, 512, generator=generator)
    scale = layer.affine(style)[0]
    weight = layer.weight * scale[:, None, None]
    weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    y = F.conv2d(F.pad(y, (1, 1, 1, 1)), 4 * taps.expand(6, 1, 4, 4), groups=6)
    wanted = F.leaky_relu(y + layer.bias[:, None, None], 0.2) * 2**0.5
    assert relative(layer(x, style), wanted) < PAPER_KERNEL


def test_gathered_features_equal_grid_sample() -> None:
    generator = torch.Generator().manual_seed(1)
    planes = torch.randn(1, 96, 12, 20, generator=generator)
    points = torch.rand(500, 3, generator=generator) * 1.3 - 0.65  # some are outside
    x, y, z = (2 * points).unbind(1)
    wanted = torch.stack(
        [
            F.grid_sample(part[None], torch.stack(place, -1)[None, :, None], align_corners=False)
            for part, place in zip(planes[0].split(32), ((x, y), (x, z), (z, x)), strict=True)
        ]
    )
    found = _gather(_rows(planes), *_corners(points, 12, 20))
    assert relative(found, wanted.mean(0)[0, :, :, 0].t()) < PAPER_KERNEL


def test_attention_in_parts_equals_the_fused_one() -> None:
    q, k, v = torch.randn(3, 1, 2, 700, 64, generator=torch.Generator().manual_seed(1))
    assert relative(_attend(q, k, v), F.scaled_dot_product_attention(q, k, v)) < PAPER_KERNEL


# The checkpoint


def test_the_released_file_loads_as_it_is(tmp_path: Path) -> None:
    state = empty_state()
    state["encoders.eg3d.G.backbone.synthesis.b4.const"] = torch.zeros(512, 4, 4)
    state["encoders.eg3d.G.backbone.mapping.fc1.bias"] = torch.zeros(512)
    torch.save(state, tmp_path / "model.pth")
    network = load_network(tmp_path / "model.pth")
    assert not any(value.is_meta for value in network.state_dict().values())
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    load_network(tmp_path / "old.pth")


def test_a_missing_file_says_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.pth.*authors' project page.*VCAM_PAPER"):
        load_network(tmp_path / "model.pth")


def test_wrong_names_and_shapes_are_listed(tmp_path: Path) -> None:
    state, path = empty_state(), tmp_path / "model.pth"
    name = "attention.combine_channels.weight"
    state[name] = torch.zeros(96, 96, 1, 1)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=rf"{name} is \(96, 96, 1, 1\) instead of \(96, 480"):
        load_network(path)
    state["module.conv.weight"] = state.pop(name)
    del state["attention.combine_channels.bias"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"weight is missing; .*conv\.weight is not known\."):
        load_network(path)
    torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"is missing; .* and \d+ more\. Use the authors'"):
        load_network(path)
    torch.save({"state_dict": {}, "epoch": 3}, path)
    with pytest.raises(CheckpointError, match="is not a state dict"):
        load_network(path)
    state = empty_state()
    state[name] = torch.zeros(96, 480, 1, 1, dtype=torch.int64)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"is torch\.int64 instead of a floating-point"):
        load_network(path)
    for odd in (torch.empty(96, 480, 1, 1, device="meta"), torch.zeros(96, 480, 1, 1).to_sparse()):
        torch.save(state | {name: odd}, path)
        with pytest.raises(CheckpointError, match="is no plain array of numbers"):
            load_network(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_short_is_named_so(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pth"
    torch.save({"a": torch.randn(10000)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"damaged or cut short .*download it again"):
            load_network(path)
    path.write_text("<html>Sign in to download</html>")
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        load_network(path)


class _MakesFolder:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, zipped: bool) -> None:
    path, mark = tmp_path / "model.pth", tmp_path / "ran"
    torch.save({"a": _MakesFolder(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="more than weights"):
        load_network(path)
    assert not mark.exists()


# Meshes


class _Ball:
    device = torch.device("cpu")

    def density(self, points: torch.Tensor) -> torch.Tensor:
        return 10 + 100 * (0.3 - (points - torch.tensor([0.05, 0.0, 0.0])).norm(dim=1))


def test_a_ball_becomes_a_mesh_and_files(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    mrcfile = pytest.importorskip("mrcfile")
    from vcam_relight.pipeline.engines.paper.mesh import (
        density_grid,
        surface,
        write_density,
        write_mesh,
    )

    density = density_grid(_Ball(), 48)
    vertices, faces = surface(density)
    centre = np.float32([0.05, 0, 0])
    assert np.abs(np.linalg.norm(vertices - centre, axis=1) - 0.3).max() < SURFACE
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a - centre) > -1e-9).all()

    write_mesh(tmp_path / "ball.obj", vertices, faces)
    lines = (tmp_path / "ball.obj").read_text().splitlines()
    assert [line[0] for line in lines] == ["v"] * len(vertices) + ["f"] * len(faces)
    assert np.allclose([float(v) for v in lines[0].split()[1:]], vertices[0], atol=1e-6)

    write_mesh(tmp_path / "ball.ply", vertices, faces)
    head, body = (tmp_path / "ball.ply").read_bytes().split(b"end_header\n")
    assert f"element vertex {len(vertices)}".encode() in head
    assert len(body) == 12 * len(vertices) + 13 * len(faces)
    with pytest.raises(ValueError, match=r"\.obj or \.ply, not as ball\.stl"):
        write_mesh(tmp_path / "ball.stl", vertices, faces)

    write_density(tmp_path / "ball.mrc", density)
    assert mrcfile.validate(tmp_path / "ball.mrc")
    with mrcfile.open(tmp_path / "ball.mrc") as file:
        assert np.array_equal(file.data.transpose(2, 1, 0), density)

    with pytest.raises(ValueError, match="no surface: the density is between"):
        surface(np.zeros((8, 8, 8), np.float32))


def test_density_of_the_network_fills_a_grid(model: PaperModel) -> None:
    from vcam_relight.pipeline.engines.paper.mesh import density_grid

    person = model.encode(image(1))
    grid = density_grid(model.field(person, person.planes), 16)
    assert grid.shape == (16, 16, 16)
    assert np.isfinite(grid).all()
    assert grid[4:-4, 4:-4, 4:-4].std() > 0
