"""Built libraries are loaded only where nobody else can have changed them."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vcam_relight.pipeline.native.build import load_library

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="a user's folders are their own, and modes say nothing"
)

STRANGER = 54321
"""A user's number that is neither ours nor root's."""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Loads a library, built unless it is there; its content says who wrote it."""
    monkeypatch.setenv("VCAM_KERNELS_DIR", str(tmp_path / "kernels"))

    def build(path: Path) -> None:
        path.write_text("ours")

    return lambda: load_library("kernel.so", build, Path.read_text)


@pytest.fixture
def library(tmp_path: Path, load: Callable[[], str]) -> Path:
    """One that was built before, then changed by somebody."""
    load()
    (library,) = tmp_path.glob("kernels/*/kernel.so")
    library.write_text("changed")
    return library


def test_what_is_built_is_the_users_alone_whatever_the_umask(
    tmp_path: Path, load: Callable[[], str]
) -> None:
    (tmp_path / "kernels").mkdir()
    before = os.umask(0)
    try:
        assert load() == "ours"
    finally:
        os.umask(before)
    (library,) = tmp_path.glob("kernels/*/kernel.so")
    assert library.stat().st_mode & 0o077 == 0
    assert library.parent.stat().st_mode & 0o077 == 0


def test_the_users_own_is_loaded_and_not_built_again(
    library: Path, load: Callable[[], str]
) -> None:
    assert load() == "changed"


@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_library_that_others_may_write_is_built_again(
    mode: int, library: Path, load: Callable[[], str]
) -> None:
    linked = library.with_name("object.o")
    linked.write_text("changed")
    library.chmod(mode)
    assert load() == "ours"
    assert library.stat().st_mode & 0o022 == 0
    assert not linked.exists(), "it would be linked from that again"


def test_a_library_that_is_a_link_is_built_again(
    tmp_path: Path, library: Path, load: Callable[[], str]
) -> None:
    target = library.rename(tmp_path / "elsewhere.so")
    library.symlink_to(target)
    assert load() == "ours"
    assert target.read_text() == "changed" and not library.is_symlink()


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_may_write_to_is_refused(
    mode: int, library: Path, load: Callable[[], str]
) -> None:
    library.parent.chmod(mode)
    with pytest.raises(RuntimeError, match="others may write to it") as refusal:
        load()
    assert str(library.parent) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_folder_that_is_a_link_is_refused(
    tmp_path: Path, library: Path, load: Callable[[], str]
) -> None:
    library.parent.symlink_to(library.parent.rename(tmp_path / "elsewhere"))
    with pytest.raises(RuntimeError, match="others may write to it"):
        load()


def test_a_folder_that_others_may_exchange_is_refused_but_not_in_a_sticky_one(
    tmp_path: Path, library: Path, load: Callable[[], str]
) -> None:
    (tmp_path / "kernels").chmod(0o777)
    with pytest.raises(RuntimeError, match="anybody may exchange"):
        load()
    (tmp_path / "kernels").chmod(0o1777)
    assert load() == "changed"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)
def test_other_users_libraries_are_built_again_and_their_folders_refused(
    library: Path, load: Callable[[], str]
) -> None:
    os.chown(library, STRANGER, STRANGER)
    assert load() == "ours"
    os.chown(library.parent, STRANGER, STRANGER)
    with pytest.raises(RuntimeError, match="is another user's"):
        load()
