"""Kernels come with the program, or are built on first use, or are missed without harm."""

import ctypes
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vcam_relight.pipeline.native import compiler, library
from vcam_relight.pipeline.native.build import _warn_because
from vcam_relight.pipeline.native.compiler import compile_kernels, library_name
from vcam_relight.pipeline.native.denoise import _NativeDenoise
from vcam_relight.pipeline.native.library import KernelLibrary, kernel_library, runnable_variants
from vcam_relight.pipeline.native.network import NetworkKernels

VARIANTS = list(runnable_variants())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every variant that this processor runs, as `setup.py` makes it."""
    folder = tmp_path_factory.mktemp("built")
    for variant in VARIANTS:
        compile_kernels(variant, folder / library_name(variant))
    return folder


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Where a library is installed, and where one is built: both are empty."""
    installed, cache = tmp_path / "installed", tmp_path / "cache"
    installed.mkdir()
    _warn_because.cache_clear()
    monkeypatch.setattr(library, "FOLDER", installed)
    monkeypatch.setenv("VCAM_KERNELS_DIR", str(cache))
    return installed, cache


def loaded() -> KernelLibrary | None:
    return kernel_library.__wrapped__()


def test_what_was_installed_needs_no_compiler(
    built: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    for path in built.iterdir():
        shutil.copy(path, folders[0])
    found = loaded()
    assert found is not None
    assert (found.variant, found.installed) == (VARIANTS[0], True)


def test_a_damaged_library_gives_way_to_another(built: Path, folders: tuple[Path, Path]) -> None:
    for path in built.iterdir():
        shutil.copy(path, folders[0])
    (folders[0] / library_name(VARIANTS[0])).write_bytes(b"")
    found = loaded()
    assert found is not None and found.variant in VARIANTS


def test_what_was_made_of_other_sources_is_not_used(
    built: Path, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    for path in built.iterdir():
        shutil.copy(path, folders[0])
    changed = Path(shutil.copytree(compiler.FOLDER, tmp_path / "native"))
    (changed / "vec.h").write_text((changed / "vec.h").read_text() + "// another\n")
    monkeypatch.setattr(compiler, "FOLDER", changed)
    assert loaded() is None


def test_kernels_are_built_once_and_again_when_they_are_damaged(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = loaded()
    assert first is not None and not first.installed
    (path,) = folders[1].glob("*/_kernels_*")
    (path.parent / "complete").unlink()  # as a build leaves it that was killed
    path.unlink()  # and not emptied: it is loaded
    path.write_bytes(b"")
    assert loaded() is not None and path.stat().st_size > 0
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert loaded() is not None


@pytest.mark.parametrize("fault", ["compiler", "refusal", "folder"])
def test_without_a_compiler_or_a_folder_the_log_says_what_to_do(
    fault: str,
    folders: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if fault == "folder":
        folders[1].write_text("no folder")
    else:
        monkeypatch.setenv("CXX", {"compiler": "no-such-compiler", "refusal": "/bin/false"}[fault])
    with caplog.at_level(logging.WARNING):
        assert loaded() is None
    message = caplog.records[-1].message
    assert "install a C++ compiler" in message and "can be written" in message
    assert "\n" not in message


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_every_variant_says_the_same(variant: str, built: Path) -> None:
    fastest, other = (
        ctypes.CDLL(str(built / library_name(name))) for name in (VARIANTS[0], variant)
    )
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (62, 98, 3), np.uint8)

    def results(functions: ctypes.CDLL) -> list[NDArray[np.float32]]:
        torch.manual_seed(0)
        network = NetworkKernels(functions)
        image, output = torch.rand(1, 18, 18, 16), torch.zeros(1, 18, 18, 32)
        weight, bias = torch.randn(2, 3, 3, 16, 16), torch.randn(32)
        network.convolve(image, weight, bias, 1, None, True, output)
        denoise = _NativeDenoise(functions)
        now, _ = denoise.halve(frame, 8)
        amount = np.full(now.shape[1:], 200, np.uint8)
        change = denoise.filter(now, now[0], amount, amount, (9.0, 20.0), 0.6)
        finished = denoise.finish(frame, now[0], change, amount, 9.0)
        return [output.numpy(), now, change, finished]

    for one, same in zip(results(fastest), results(other), strict=True):
        # Sums of 144 products of about 1 in another order, and levels at which rounding tips over.
        tolerance = 1e-4 if one.dtype == np.float32 else 1
        assert np.abs(one.astype(np.float32) - same).max() <= tolerance
