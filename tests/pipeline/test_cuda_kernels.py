"""Kernels of a card, emulated on the CPU, say what torch and the kernels in C++ say."""

import secrets

import pytest

from support.cuda_cases import CASES
from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.cuda.emulation.build import emulated_card, set_order
from vcam_relight.pipeline.cuda.sources import kernel_files


@pytest.fixture(scope="module")
def card() -> Card:
    return emulated_card()


def test_every_file_of_kernels_has_its_case() -> None:
    assert {path.stem for path in kernel_files()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_kernels_say_the_same_as_the_cpus_in_any_order_of_threads(card: Card, name: str) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    try:
        results = []
        for order in range(4):
            set_order(order)
            results.append(b"".join(array.tobytes() for array in CASES[name](card, seed)))
    finally:
        set_order(0)
    assert len(set(results)) == 1
