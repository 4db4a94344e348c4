"""What the default engine's kernels take on a card: by step, by kernel, against the card's best.

Times are by the card's own clock. On an emulated card they are the CPU's, and tell nothing but that
everything runs.
"""

import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.tensors import moved
from vcam_relight.pipeline.cuda.device import (
    Buffer,
    BufferPart,
    Card,
    Graph,
    Launch,
    Stopwatch,
    Stream,
)
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.engines.triplane.network.checkpoint import checkpoint_path, load_network
from vcam_relight.pipeline.engines.triplane.network.model import INPUT
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter

_ROUNDS = 20
"""Launches of which the median counts; fewer of an emulated card, which takes its time."""
_FRAMES = 4
"""That are relit, in a dark room and in a bright one, so that every graph is there."""
_COPY = 64 << 20
"""Bytes, more than any card's cache."""
_PRODUCTS = 2000
_BLOCKS = 1024
_FLOPS_OF_PRODUCT = 2 * 16 * 8 * 16


@dataclass(frozen=True, slots=True)
class CardLimits:
    """What a card was seen to do at best."""

    gigabytes: float
    """A second, read and written."""
    teraflops: float
    """A second, halves on tensor cores."""


def measure_card(card: Card, engine: Engine, frame: BgrImage) -> dict[str, Any]:
    """What `vcam bench` says of a card that the default engine runs on.

    Args:
        card: the engine's.
        engine: loaded.
        frame: `(H, W, 3)` with a face.
    """
    limits = _limits(card)
    lighting = load_presets()[0]["key-left"].lighting()
    dark = (frame * np.float32(0.2)).astype(np.uint8)
    with closing(Relighter(engine)) as relighter:
        for index, image in enumerate([frame] * _FRAMES + [dark] * _FRAMES):
            relighter.process(image, index / 15, lighting, RelightSettings())
        engine.close()  # what its thread still does would share memory with what follows
        steps = {name: _step(graph, limits) for name, graph in sorted(card.graphs.items())}
    return {
        "name": card.name,
        "gigabytes_per_second": round(limits.gigabytes, 1),
        "teraflops": round(limits.teraflops, 2),
        "steps": steps,
        "torch": _torch(),
    }


def table(report: dict[str, Any]) -> str:
    """The same for people."""
    eager = report["torch"]
    lines = [
        "",
        f"{report['name']}: copies {report['gigabytes_per_second']} GB/s, multiplies "
        f"{report['teraflops']} TFLOPS. torch runs the network in {eager['ms']} ms on "
        f"{eager['device']}.",
        "",
        "| step | kernel | launches | ms | MB | GB/s | of its best | GFLOP | of the best |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, step in report["steps"].items():
        whole = f"all, as one graph | {step['launches']} | {step['ms']}"
        lines.append(f"| {name} | {whole} | | | | | |")
        for kernel, row in step["kernels"].items():
            cells = (
                row["launches"], row["ms"], row["megabytes"], row["gigabytes_per_second"],
                row["of_bandwidth"], row["gigaflop"] or "", row["of_flops"] or "",
            )  # fmt: skip
            lines.append(f"| | {kernel} | {' | '.join(map(str, cells))} |")
    lines += ["", "MB: each array that a kernel is given, once. GFLOP: of convolutions."]
    return "\n".join(lines) + "\n"


def _step(graph: Graph, limits: CardLimits) -> dict[str, Any]:
    watch, stream = Stopwatch(graph.stream), graph.stream
    graph.launch()
    stream.synchronize()
    rounds = 2 if stream.card.name == "emulated" else _ROUNDS
    whole = statistics.median(watch.time(graph.launch) for _ in range(rounds))
    stream.synchronize()
    runs = [graph.timed() for _ in range(min(rounds, 3))]
    kernels: dict[str, list[list[Launch]]] = {}
    for same in zip(*runs, strict=True):
        kernels.setdefault(same[0].kernel, []).append(list(same))
    return {
        "ms": round(whole, 4),
        "launches": len(runs[0]),
        "kernels": {name: _kernel(found, limits) for name, found in kernels.items()},
    }


def _kernel(found: Sequence[Sequence[Launch]], limits: CardLimits) -> dict[str, Any]:
    """Of one kernel's launches, each of which was timed several times."""
    ms = sum(statistics.median(one.milliseconds for one in same) for same in found)
    size = sum(_bytes(same[0]) for same in found)
    flops = sum(_flops(same[0]) for same in found)
    seconds = max(ms, 1e-6) / 1e3
    return {
        "launches": len(found),
        "ms": round(ms, 4),
        "megabytes": round(size / 1e6, 2),
        "gigabytes_per_second": round(size / seconds / 1e9, 1),
        "of_bandwidth": round(size / seconds / 1e9 / limits.gigabytes, 3),
        "gigaflop": round(flops / 1e9, 3),
        "of_flops": round(flops / seconds / 1e12 / limits.teraflops, 3),
    }


def _bytes(launch: Launch) -> int:
    arrays = (one for one in launch.arguments if isinstance(one, Buffer | BufferPart))
    return sum({one.address.value: one.nbytes for one in arrays}.values())


def _flops(launch: Launch) -> int:
    if not launch.kernel.startswith("convolve"):
        return 0
    output, *numbers = launch.arguments[5:10]
    side, inputs, outputs, kernel = (int(one) for one in numbers if isinstance(one, int))
    if not isinstance(output, Buffer):
        raise TypeError("a convolution writes to a buffer")
    return 2 * output.shape[0] * side * side * inputs * outputs * kernel * kernel


def _limits(card: Card) -> CardLimits:
    stream = Stream(card)
    first, second = (card.empty((_COPY,), np.uint8) for _ in range(2))
    sums = card.empty((_BLOCKS * 256,), np.float32)
    watch = Stopwatch(stream)
    # An emulated card takes seconds for what a real one does in no time.
    products = _PRODUCTS if card.name != "emulated" else 1

    def multiply() -> None:
        stream.launch("multiply", (_BLOCKS, 1, 1), 256, sums, products)

    stream.copy(first, second)
    multiply()
    stream.synchronize()
    copy = min(watch.time(lambda: stream.copy(first, second)) for _ in range(5))
    product = min(watch.time(multiply) for _ in range(2))
    flops = _BLOCKS * 8 * products * 4 * _FLOPS_OF_PRODUCT
    return CardLimits(2 * _COPY / copy / 1e6, flops / product / 1e9)


def _torch() -> dict[str, Any]:
    """Median milliseconds of the network in torch, kernel after kernel, where torch can run it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_network(checkpoint_path()).to(device).eval()
    image = torch.zeros(1, 3, INPUT, INPUT, device=device)
    front = HeadPose(torch.eye(3)[None], torch.ones(1), torch.zeros(1, 2))
    pose = moved(front, device)
    light = torch.zeros(1, 9, device=device)
    state, times = None, []
    with torch.inference_mode():
        for _ in range(_ROUNDS):
            begin = time.perf_counter()
            _, _, state, _ = network(image, pose, light, state)
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append((time.perf_counter() - begin) * 1e3)
    return {"device": device.type, "ms": round(statistics.median(times), 3)}
