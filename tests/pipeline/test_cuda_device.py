"""A real card: what the emulation is held to, and what only a card can tell.

`python -m pytest -m cuda` runs all of it, in less than ten minutes; without a card it is left out.
"""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from support.cuda_cases import CASES, assert_engine_agrees, assert_tracker_agrees
from support.demo import demo_frames
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.cuda.card import installed_card
from vcam_relight.pipeline.cuda.device import Card, Stream
from vcam_relight.pipeline.cuda.driver import NoCardError
from vcam_relight.pipeline.engines.registry import load_engine
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter

pytestmark = pytest.mark.cuda

MEMORY = 32 << 20
"""Bytes of a card that may come and go: the driver's own."""


@pytest.fixture(scope="module")
def card() -> Iterator[Card]:
    try:
        yield installed_card()
    except NoCardError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", CASES)
def test_kernels_say_what_the_cpus_say_each_time(card: Card, name: str) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    results = {b"".join(array.tobytes() for array in CASES[name](card, seed)) for _ in range(3)}
    assert len(results) == 1


def test_the_engine_shows_what_the_cpu_shows(card: Card) -> None:
    assert_engine_agrees("cuda")


def test_faces_and_people_are_where_the_cpu_finds_them(card: Card) -> None:
    assert_tracker_agrees(card, 20)


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "initcheck", "synccheck"])
@pytest.mark.parametrize("name", CASES)
def test_the_sanitizer_finds_nothing(card: Card, name: str, tool: str) -> None:
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is a part of NVIDIA's toolkit")
    work = (
        "from support.cuda_cases import CASES;"
        "from vcam_relight.pipeline.cuda.card import installed_card;"
        f"CASES[{name!r}](installed_card(), 1)"
    )
    command = [sanitizer, "--tool", tool, "--error-exitcode", "9", sys.executable, "-c", work]
    found = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=found)
    assert done.returncode == 0, done.stdout[-2000:]


def test_memory_stays_as_it_is_over_a_thousand_changes(card: Card) -> None:
    presets, _ = load_presets()
    names = [name for name in presets if name != "off"]
    frame = demo_frames(1)[0]
    free = []
    with Relighter(load_engine("triplane", "cuda")) as relighter:
        for index in range(1000):
            size = 640 - 2 * (index // 10 % 10)
            settings = RelightSettings(yaw=float(index % 3), fill=0.1 * (index % 7))
            image = np.ascontiguousarray(frame[:360, :size])
            light = presets[names[index % len(names)]].lighting()
            relighter.process(image, index / 30, light, settings)
            if index % 100 == 99:
                free.append(card.free_memory())
    assert min(free) > free[0] - MEMORY


def test_work_on_the_card_leaves_torch_alone(card: Card) -> None:
    if not torch.cuda.is_available():
        pytest.skip("this torch is built without CUDA")
    there = torch.arange(1000, device="cuda")
    Stream(card).clear(card.empty((1000,), np.float32))
    assert int(there.sum()) == 499500
