"""What kernels must say, on the emulation and on a card alike: each case compares one file's
kernels with torch or with the kernels in C++, and gives what came out.

Inputs are random, and others in every run: a case is told its seed, which pytest prints where it
fails.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import astuple, replace

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from support.demo import demo_frames
from vcam_relight.pipeline.compositing.apply import CpuApplier
from vcam_relight.pipeline.compositing.base import Composition, LightRequest, LocalGain
from vcam_relight.pipeline.compositing.cuda import CudaApplier
from vcam_relight.pipeline.compositing.cuda_gains import GainPlan, GainSizes
from vcam_relight.pipeline.compositing.denoise import PARAMS, noise_amount
from vcam_relight.pipeline.compositing.displace import Displacement
from vcam_relight.pipeline.compositing.guided_filter import MatteParams
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.analysis_image import AnalysisImage
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.core.window import Window
from vcam_relight.pipeline.cuda.device import AnyArray, Buffer, Card, Stream
from vcam_relight.pipeline.cuda.image_models import models_on
from vcam_relight.pipeline.cuda.tflite_graph import read_graph
from vcam_relight.pipeline.cuda.tflite_network import TfLiteNetwork
from vcam_relight.pipeline.engines.registry import load_engine
from vcam_relight.pipeline.engines.triplane.cuda_shading import CudaShading
from vcam_relight.pipeline.engines.triplane.head_estimate import (
    HeadEstimate,
    LightOfGain,
    ShadingAmounts,
)
from vcam_relight.pipeline.engines.triplane.network.model import (
    Maps,
    TriplaneNetwork,
    Volume,
)
from vcam_relight.pipeline.engines.triplane.network.refiner import shipped_refiner
from vcam_relight.pipeline.engines.triplane.runtime.cuda_layers import (
    CudaConv,
    CudaUpsample,
    uploaded,
)
from vcam_relight.pipeline.engines.triplane.runtime.cuda_network import CudaNetwork
from vcam_relight.pipeline.engines.triplane.runtime.cuda_view import CudaView
from vcam_relight.pipeline.engines.triplane.shading import head_gain
from vcam_relight.pipeline.engines.triplane.source_light import RemovableShading
from vcam_relight.pipeline.engines.triplane.temporal.optical_flow import FlowField
from vcam_relight.pipeline.engines.triplane.temporal.smoothing import Motion, smooth_maps
from vcam_relight.pipeline.face.models import FOLDER, load_model
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting.lights import Light
from vcam_relight.pipeline.lighting.lobes import DistantLight, Lobes
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter

GAINS = 2e-4
COEFFICIENTS = 2e-3
"""Of alpha, by which the matte of a flat picture may differ: its variance is a difference of sums
of 49 in float32, over 0.002."""
HALVES = 4e-3
"""Of the largest value: sums in float32 of products of halves, rounded to halves once; a layer's
worst of thousands was 1.1e-3."""
NETWORK = 0.03
"""Of the largest value, after 30 such layers; 0.008 was measured."""
GAIN = 0.02
"""Natural logarithm, the worst of all pixels: the refiner's nine layers in halves; 0.008 was
measured."""
FLOATS = 1e-3
"""Of the largest value: the same sums in another order, through 40 layers; 2e-5 was measured."""
LANDMARKS = 0.1
"""Pixels of a frame of 1280 x 720; 0.045 was measured in 20 frames, as each crop is cut, rounded,
where the face was in the frame before."""
LEVELS = 1
"""Of 255. One more pixel in a thousand may differ by more: a place may be rounded to another
sixteenth of a pixel."""
ODD_ONES = 1e-3
MODELS = (
    "face_landmark.tflite", "selfie_segmentation.tflite", "selfie_segmentation_landscape.tflite",
)  # fmt: skip

Case = Callable[[Card, int], list[AnyArray]]


def convolutions(card: Card, seed: int) -> list[AnyArray]:
    """`convolution.cu` against torch: kernels, strides, missing channels, every epilogue."""
    torch.manual_seed(seed)
    stream, results = Stream(card), []
    for inputs, outputs, side, kernel, stride, count in (
        (16, 16, 16, 1, 1, 1),
        (12, 19, 32, 3, 1, 1),
        (48, 64, 16, 3, 2, 1),
        (96, 32, 32, 1, 1, 3),
        (16, 32, 128, 3, 1, 1),
        (32, 13, 64, 3, 1, 3),
    ):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        filled = -(-outputs // 16) * 16
        x = torch.randn(count, inputs, side * stride, side * stride).half().float()
        add = torch.randn(count, filled, side, side).half().float()
        film = torch.randn(2, filled) * 0.3
        plain = functional.conv2d(x, conv.weight.half().float(), conv.bias, stride, kernel // 2)
        plain = functional.pad(plain, (0, 0, 0, 0, 0, filled - outputs)).detach()
        tuned = functional.relu(plain) * (1 + film[0, :, None, None]) + film[1, :, None, None]
        for expected, positive, added, filmed in (
            (plain, False, False, False),
            (functional.relu(plain + add), True, True, False),
            (tuned, True, False, True),
        ):
            layer = CudaConv(
                stream, conv, side, count, positive, uploaded(stream, film) if filmed else None
            )
            out = layer(_image(stream, x), add=_image(stream, add) if added else None)
            results.append(_close(stream, out, expected, HALVES))
    for channels, side, count in ((16, 16, 1), (48, 17, 3), (32, 1, 1)):
        x, add = (
            torch.randn(count, channels, size, size).half().float() for size in (side, 2 * side)
        )
        doubled = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
        for expected, more in ((doubled, None), (doubled + add, add)):
            enlarge = CudaUpsample(stream, 2 * side, channels, count)
            out = enlarge(_image(stream, x), add=None if more is None else _image(stream, more))
            results.append(_close(stream, out, expected, HALVES))
    return results


def network(card: Card, seed: int) -> list[AnyArray]:
    """`triplane.cu` against torch: a fresh start, what is remembered, and a fresh start again."""
    torch.manual_seed(seed)
    made = TriplaneNetwork().eval().requires_grad_(False)
    made.renderer.density.bias.fill_(-5.0)  # leaves some rays half open
    made.unprojection.place.normal_(std=0.5)
    results: list[AnyArray] = []
    with torch.inference_mode():
        there, memory, own, before = CudaNetwork(made, card), None, None, None
        view = CudaView(made, card)
        for forget in (True, False, True):
            image, pose, light = _look()
            if forget:
                memory = own = before = None
            motion = Motion(_flow(seed), 0.1)
            maps, volume, memory, planes = there.forward(image, pose, light, memory, motion)
            rgb = torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))
            expected, seen, own, all_planes = made(rgb.float()[None] / 127.5 - 1, pose, light, own)
            before = expected = smooth_maps(before, expected, motion) if before else expected
            # Where a normal has hardly a length its direction is anything.
            off = (maps.normal - expected.normal).abs().amax(1)
            assert float(off.quantile(0.98)) < NETWORK
            other = HeadPose(pose.rotation, pose.scale * 0.9, pose.shift + 0.1)
            turned, from_there = view.render(planes, other), made.renderer(all_planes, None, other)
            kept = _downloaded(card, Stream(card), planes.buffer)[
                :, 1:-1, 1:-1, : all_planes.shape[1]
            ]
            pairs = [*zip(astuple(maps)[1:], astuple(expected)[1:], strict=True)]
            pairs += [*zip(astuple(volume), astuple(seen), strict=True)]
            pairs += [(turned.albedo, from_there.albedo), (turned.depth, from_there.depth)]
            pairs += [(torch.from_numpy(kept.transpose(0, 3, 1, 2).astype(np.float32)), all_planes)]
            for got, wanted in pairs:
                assert got.shape == wanted.shape
                assert float((got - wanted).abs().max()) < NETWORK * float(wanted.abs().max() + 1)
            features = _downloaded(card, Stream(card), memory.features.buffer)
            own_features = own.features.permute(0, 2, 3, 1).numpy()
            assert np.abs(features - own_features).max() < NETWORK * np.abs(own_features).max()
            results += [maps.normal.numpy(), volume.albedo.numpy(), kept, features]
    return results


def gains(card: Card, seed: int) -> list[AnyArray]:
    """`shading.cu` against the CPU's: no light with an edge and several, all of it and less."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    refiner = shipped_refiner()
    shading, results = CudaShading(card, refiner), []
    for count, amounts in (
        (3, ShadingAmounts(1.0, 1.0, 1.0)),
        (1, ShadingAmounts(0.4, 0.0, 0.3)),
        (0, ShadingAmounts(1.0, 0.5, 1.0)),
    ):
        estimate, light = _estimate(rng), LightOfGain(_light(rng, count), amounts)
        with torch.inference_mode():
            got, expected = shading.gain(estimate, light), head_gain(estimate, light, refiner)
        assert expected.std() > 0.05
        assert np.abs(np.log(got) - np.log(expected)).max() < GAIN
        results.append(got)
    return results


def lights(card: Card, seed: int) -> list[AnyArray]:
    """`light.cu` against numpy and OpenCV: odd and tiny sizes, walls that stay, no patches."""
    rng, results, stream = np.random.default_rng(seed), [], Stream(card)
    for width, height, rows, columns, count in (
        (48, 27, 7, 12, 2), (13, 5, 5, 13, 1), (2, 9, 3, 1, 0), (1, 1, 1, 1, 0),
    ):  # fmt: skip
        request = _request(rng, (width, height), (rows, columns), count)
        plan = GainPlan(stream, GainSizes.of(request, None))
        plan.describe(request)
        plan.work(PARAMS)
        grid, patches, amount = (
            _downloaded(card, stream, one) for one in (plan.grid, plan.patches, plan.amount)
        )
        change = request.change()
        composed = Composition.of(np.zeros((64, 64, 3), np.uint8), change, MatteParams())
        assert composed is not None
        around = composed.background
        if around is None:
            around = np.ones_like(composed.person)
        expected = np.dstack([composed.matte.a, composed.matte.b, composed.person, around])
        assert np.abs(grid - expected)[..., :2].max() < COEFFICIENTS
        assert np.abs(grid - expected)[..., 2:].max() < GAINS
        for patch, residual in zip(patches, composed.residuals, strict=False):
            assert np.abs(patch - residual.values).max() < GAINS
        assert np.abs(amount.astype(int) - noise_amount(change, PARAMS)).max() <= 1
        results += [grid, patches[:count], amount]
    return results


def frames(card: Card, seed: int) -> list[AnyArray]:
    """`frame.cu` against the kernels in C++: odd and tiny sizes, dark rooms, nobody there."""
    rng, results = np.random.default_rng(seed), []
    for size in ((97, 61), (128, 72), (17, 3), (2, 2), (1, 1)):
        there, here = CudaApplier(card, StageTimer()), CpuApplier(StageTimer())
        clip = _clip(rng, size)
        for index, (frame, request, moves) in enumerate(clip):
            if index == 4:  # a new source
                there.reset(), here.reset()
            there.begin(frame)
            got, expected = (one.apply(frame, request, moves) for one in (there, here))
            apart = np.abs(got.astype(int) - expected)
            assert (apart > LEVELS).mean() <= ODD_ONES, (size, index, apart.max())
            results.append(got)
    return results


def products(card: Card, seed: int) -> list[AnyArray]:
    """`measure.cu`: as many products as it is asked for."""
    stream, sums = Stream(card), []
    for rounds in (1, 3):
        out = card.empty((256,), np.float32)
        stream.launch("multiply", (1, 1, 1), 256, out, rounds)
        sums.append(np.empty(256, np.float32))
        stream.download(sums[-1], out)
    stream.synchronize()
    assert np.array_equal(3 * sums[0], sums[1]) and sums[0].all()
    return sums


def models(card: Card, seed: int) -> list[AnyArray]:
    """`tflite.cu` against TensorFlow Lite: the files' networks, of a noisy face."""
    rng, results = np.random.default_rng(seed), []
    for name in MODELS:
        here = load_model(name)
        there = TfLiteNetwork(Stream(card), read_graph((FOLDER / name).read_bytes()), name)
        face = cv2.resize(demo_frames(1)[0], (here.width, here.height)).astype(int)
        noisy = np.clip(face + rng.integers(-40, 40, face.shape), 0, 255).astype(np.uint8)
        for got, expected in zip(there.run(noisy), here.look(noisy), strict=True):
            assert got.shape == expected.shape
            assert np.abs(got - expected).max() < FLOATS * np.abs(expected).max(), name
            results.append(got)
    return results


CASES: dict[str, Case] = {
    "convolution": convolutions, "triplane": network, "shading": gains, "light": lights,
    "frame": frames, "measure": products, "tflite": models,
}  # fmt: skip
"""By the file of the kernels that they are about."""


def _image(stream: Stream, x: Tensor) -> Buffer:
    """`(N, C, S, S)` as kernels want it."""
    x = functional.pad(x, (1, 1, 1, 1, 0, -x.shape[1] % 16)).permute(0, 2, 3, 1)
    return uploaded(stream, x.contiguous().half())


def _close(stream: Stream, out: Buffer, expected: Tensor, tolerance: float) -> AnyArray:
    got = np.empty(out.shape, np.float16)
    stream.download(got, out)
    stream.synchronize()
    border = got.copy()
    border[:, 1:-1, 1:-1] = 0
    assert not border.any(), "a border is written to"
    inner = torch.from_numpy(got[:, 1:-1, 1:-1].astype(np.float32)).permute(0, 3, 1, 2)
    assert float((inner - expected).abs().max()) < tolerance * float(expected.abs().max())
    return got


def _request(
    rng: np.random.Generator, size: tuple[int, int], coarse: tuple[int, int], patches: int
) -> LightRequest:
    """Any light on any image."""

    def maps(*shape: int) -> FloatArray:
        return rng.uniform(0, 3, shape).astype(np.float32)

    width, height = size
    image = AnalysisImage(rng.integers(0, 256, (height, width, 3), np.uint8))
    mask = np.clip(maps(height, width), 0, 1)
    mask[0, 0] = 1  # somebody is there
    some = [
        LocalGain(maps(9, 9, 3), maps(9, 9, 3), maps(9, 9, 1), maps(9, 9, 3) / 3, maps(2), 8.0)
        for _ in range(patches)
    ]
    wall = maps(3) if patches else None
    return LightRequest(maps(*coarse, 3), maps(3), wall, image, mask, some, 0.8, 4.0)


def _downloaded(card: Card, stream: Stream, buffer: Buffer) -> AnyArray:
    array = np.empty(buffer.shape, buffer.dtype)
    stream.download(array, buffer)
    stream.synchronize()
    return array


def _flow(seed: int) -> FlowField:
    """Up to some cells, over the edges too."""
    few = np.random.default_rng(seed).normal(0, 3, (4, 4, 2)).astype(np.float32)
    flow = cv2.resize(few, (128, 128))
    line = np.arange(128, dtype=np.float32)
    return FlowField(flow[..., 0] + line, flow[..., 1] + line[:, None])


def _look() -> tuple[BgrImage, HeadPose, Tensor]:
    coarse = torch.rand(1, 3, 20, 20)
    fine = functional.interpolate(coarse, size=(256, 256), mode="bilinear")
    image = (fine * 255).byte()[0].permute(1, 2, 0).numpy()
    turn, _ = torch.linalg.qr(torch.eye(3) + 0.2 * torch.randn(3, 3))
    turn = turn * torch.sign(turn.diagonal())
    light = torch.randn(1, 9) * 0.3
    light[:, 0] = 1.0
    pose = HeadPose(turn[None], torch.tensor([0.55]), torch.randn(1, 2) * 0.1)
    return np.ascontiguousarray(image), pose, light


def _smooth(rng: np.random.Generator, channels: int, size: int, cells: int = 6) -> Tensor:
    few = rng.normal(0, 1, (cells, cells, channels)).astype(np.float32)
    large = cv2.resize(few, (size, size), interpolation=cv2.INTER_CUBIC).reshape(size, size, -1)
    return torch.from_numpy(np.ascontiguousarray(large.transpose(2, 0, 1)))[None]


def _estimate(rng: np.random.Generator) -> HeadEstimate:
    """Of a head that nobody has: smooth maps of every kind."""
    normal = _smooth(rng, 3, 128) + torch.tensor([0.0, 0.0, 2.0])[:, None, None]
    maps = Maps(
        functional.normalize(normal, dim=1),
        torch.sigmoid(_smooth(rng, 3, 128)),
        0.4 * _smooth(rng, 3, 128),
        0.4 * _smooth(rng, 1, 128),
        3 * _smooth(rng, 1, 128),
    )
    linear = torch.sigmoid(_smooth(rng, 3, 128))
    y, x = np.mgrid[-1:1:64j, -1:1:64j].astype(np.float32)
    depth = torch.from_numpy(1.2 - x * x - y * y)[None, None] + 0.2 * _smooth(rng, 1, 64)
    opacity = torch.sigmoid(8 * (0.8 - torch.from_numpy(np.hypot(x, y))))[None, None]
    volume = Volume(depth, None, depth, depth, opacity)
    source = np.zeros((9, 3), np.float32)
    source[0], source[1:] = 1.1, rng.normal(0, 0.3, (8, 3))
    shading = RemovableShading(0.3 * _smooth(rng, 3, 128), 0.1 * _smooth(rng, 3, 128))
    pose = HeadPose(
        torch.eye(3)[None], torch.tensor([float(rng.uniform(0.4, 0.7))]), torch.zeros(1, 2)
    )
    known = {
        "time": 0.0, "luma": np.zeros((128, 128), np.uint8), "target": source, "pose": pose,
        "memory": None, "maps": maps, "linear": linear, "shading": shading, "volume": volume,
        "planes": depth, "source": source,
    }  # fmt: skip
    return HeadEstimate(**known)  # type: ignore[arg-type]


def _light(rng: np.random.Generator, count: int) -> DistantLight:
    lobes = Lobes.of_lights(
        [
            Light(
                float(rng.uniform(-150, 150)),
                float(rng.uniform(-60, 60)),
                tuple(rng.uniform(0.3, 2, 3)),
                float(rng.uniform(0, 0.8)),
            )
            for _ in range(count)
        ]
    )
    sh = np.zeros((9, 3), np.float32)
    sh[0], sh[1:] = 0.6, rng.normal(0, 0.1, (8, 3))
    return DistantLight(sh + lobes.sh, lobes)


def _clip(
    rng: np.random.Generator, size: tuple[int, int]
) -> list[tuple[BgrImage, LightRequest | None, Displacement | None]]:
    """Frames that move and are dark, with what changes their light, and what moves of them."""
    width, height = size
    still = cv2.resize(rng.integers(0, 160, (5, 8, 3), np.uint8), (width + 8, height + 8))
    grid = (48, 27)
    y, x = np.mgrid[-1:1:27j, -1:1:48j].astype(np.float32)
    person = np.clip(2.5 - 4 * np.hypot(x - 0.2, y), 0, 1)
    fade = np.outer(np.hanning(32), np.hanning(32)).astype(np.float32)[..., None]

    def gain(low: float, high: float, shape: tuple[int, int]) -> FloatArray:
        few = rng.uniform(low, high, (3, 3, 3)).astype(np.float32)
        return np.asarray(cv2.resize(few, shape), np.float32)

    clip = []
    for index in range(6):
        at = (index + 1) // 2  # some frames move, others do not
        frame = still[at : at + height, at : at + width]
        frame = np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8)
        patches = [
            LocalGain(
                gain(0.3, 3, (32, 32)), gain(0.3, 3, (32, 32)), fade, gain(0, 1, (32, 32)),
                np.array(size, np.float32) * np.float32(place), float(max(min(size) / 2, 1)),
            )
            for place in ([0.5, 0.5], [0.1, 0.9])
        ]  # fmt: skip
        lift, wall = (rng.uniform(*span, 3).astype(np.float32) for span in ((1, 4), (0.5, 3)))
        some = LightRequest(
            gain(0.5, 2, (12, 7)), lift, wall,
            AnalysisImage(np.asarray(cv2.resize(frame, grid), np.uint8)), person, patches, 0.9,
            1.0 if index == 3 else 4.0,  # a light that comes on
        )  # fmt: skip
        if index == 2:
            some = replace(some, wall=None, patches=patches[:1])
        if index == 4:
            some = replace(some, mask=np.zeros_like(person), patches=())
        request = None if index == 5 else some
        field = cv2.resize(rng.normal(0, 3, (4, 4, 2)).astype(np.float32), (24, 24))
        window = Window(width // 5, height // 5, max(width - 2, 1), height)
        middle = np.array(size, np.float32) * np.float32([0.6, 0.4])
        moves = Displacement(field, middle, float(max(size)), window) if index % 3 == 2 else None
        clip.append((frame, request, moves))
    return clip


def assert_tracker_agrees(card: Card, count: int) -> None:
    """Faces of the demo clip, wide and square, are where the CPU finds them, and so are people."""
    clip = [cv2.resize(frame, (1280, 720)) for frame in demo_frames(count)]
    clip.append(np.ascontiguousarray(clip[-1][:, 280:1000]))
    with ExitStack() as stack:
        there, here = (
            stack.enter_context(closing(FaceTracker(StageTimer(), load=models_on(one))))
            for one in (card, None)
        )
        for index, frame in enumerate(clip):
            got, expected = (one.update(frame, index / 30) for one in (there, here))
            assert len(got.faces) == len(expected.faces) == 1
            apart = got.faces[0].landmarks - expected.faces[0].landmarks
            assert np.abs(apart).max() < LANDMARKS
            assert np.abs(got.mask - expected.mask).max() < 1 / 255 and expected.mask.max() > 0.9


def assert_engine_agrees(device: str) -> None:
    """The whole engine on a device shows what it shows on the CPU.

    Ten frames: a light that changes, a room that darkens, a second face, another size, a reset.
    """
    presets, _ = load_presets()
    small = [cv2.resize(frame, (640, 360)) for frame in demo_frames(10)]
    pairs = [np.hstack([frame, frame[:, ::-1]])[:-3, :-2] for frame in small]
    dark = [(frame * np.float32(0.2)).astype(np.uint8) for frame in small]
    clip = [*small[:3], *dark[3:5], *pairs[5:8], *small[8:]]
    lights = ["key-left"] * 2 + ["rim"] + ["auto"] * 3 + ["rim"] * 2 + ["window"] * 2
    turned = RelightSettings(yaw=8.0)
    with ExitStack() as stack:
        shown = []
        for where in ("cpu", device):
            engine = stack.enter_context(closing(load_engine("triplane", where)))
            relighter = stack.enter_context(Relighter(engine))
            images = []
            for index, (frame, light) in enumerate(zip(clip, lights, strict=True)):
                if index == 8:
                    relighter.reset()
                settings = turned if index == 9 else RelightSettings()
                lighting = presets[light].lighting()
                images.append(
                    relighter.process(np.ascontiguousarray(frame), index / 15, lighting, settings)
                )
            shown.append(images)
    for index, (frame, one, other) in enumerate(zip(clip, *shown, strict=True)):
        changed = np.abs(one.astype(int) - frame).mean()
        assert changed > 1, f"frame {index} is hardly relit"
        apart = np.abs(one.astype(int) - other)
        assert (apart > LEVELS).mean() <= ODD_ONES, f"frame {index}: up to {apart.max()} apart"
