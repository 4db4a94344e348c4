"""Every kernel compiles for every kind of card, by both NVRTCs, and finds room in its registers."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from vcam_relight.pipeline.cuda.driver import CudaError
from vcam_relight.pipeline.cuda.nvrtc import Compiled, Nvrtc, load_nvrtc, resources
from vcam_relight.pipeline.cuda.sources import headers, kernel_files, kernel_sources

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="there is no NVRTC for macOS")

CAPABILITIES = (75, 80, 86, 89, 90, 120)
"""Turing, Ampere (data centre, and desks), Ada, Hopper, Blackwell."""
MOST_REGISTERS = 96
"""Of a thread: two blocks of 256 still fit into a multiprocessor. A compiler's next release may
take some more than today's 79."""
MOST_SHARED = 48 * 1024
"""Bytes of a block, on all cards without asking for more."""


def _nvrtc(folder: str) -> Nvrtc:
    (place,) = (path for path in map(Path, sys.path) if (path / "nvidia" / folder).is_dir())
    return load_nvrtc(place / "nvidia" / folder / "lib")


def _compiled(nvrtc: Nvrtc, capability: int, path: Path) -> Compiled:
    return nvrtc.compile(path.name, path.read_text(), headers(), capability)


@pytest.mark.parametrize(("folder", "version"), [("cu13", 13), ("cuda_nvrtc", 12)])
def test_kernels_compile_for_every_card_without_spilling(folder: str, version: int) -> None:
    nvrtc = _nvrtc(folder)
    assert nvrtc.version[0] == version
    for capability in CAPABILITIES:
        found = []
        with ThreadPoolExecutor(2) as several:
            for compiled in several.map(partial(_compiled, nvrtc, capability), kernel_files()):
                assert compiled.code.startswith(b"\x7fELF")
                found += resources(compiled.log)
        assert {one.name for one in found} == set(kernel_sources())
        for one in found:
            where = f"{one} on {capability}"
            assert one.spilled == one.stack == 0, where
            assert one.registers <= MOST_REGISTERS and one.shared <= MOST_SHARED, where


def test_a_card_later_than_nvrtc_gets_ptx() -> None:
    nvrtc = _nvrtc("cu13")
    path = kernel_files()[0]
    compiled = nvrtc.compile(path.name, path.read_text(), headers(), 999)
    assert b".target sm_" in compiled.code


def test_a_source_with_an_error_is_one_line() -> None:
    with pytest.raises(CudaError, match=r"^NVRTC refuses wrong.cu: .*\(1\): error: .*$"):
        _nvrtc("cu13").compile("wrong.cu", "nonsense", {}, 90)
