"""What a wheel is made of: one name, every folder, every file."""

import os
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from conftest import ROOT

import vcam_relight

NOT_SHIPPED = {"__pycache__"} | {
    f"checkpoints/{name}" for name in ("paper", "deep3d", "dpr", "training")
}
"""Caches, weights that are for research only, and those to train on from (see its README)."""


def setuptools_table() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    result: dict[str, Any] = table["tool"]["setuptools"]
    return result


def files(package: str, folder: Path) -> dict[str, list[str]]:
    """Package -> its files, below `folder`."""
    # Where git makes no symbolic links, those of `src/vcam_relight` are files.
    links = {path.name for path in ROOT.iterdir()} if package == "vcam_relight" else set()
    present = {path.name for path in folder.iterdir() if path.is_file()}
    found = {package: sorted(present - links)}
    for path in sorted(folder.iterdir()):
        names = {path.name, path.relative_to(ROOT).as_posix()}
        if path.is_dir() and not path.is_symlink() and not names & NOT_SHIPPED:
            found |= files(f"{package}.{path.name}", path)
    return {name: names for name, names in found.items() if names}


def test_a_wheel_has_every_folder_and_every_file() -> None:
    table = setuptools_table()
    found: dict[str, list[str]] = {}
    for package, folder in table["package-dir"].items():
        found |= files(package, ROOT / folder)
    assert sorted(found) == sorted(table["packages"])
    data = table["package-data"]
    left_out = [
        f"{package}: {name}"
        for package, names in found.items()
        for name in names
        if not name.endswith(".py")
        and not name.startswith("_kernels_")  # an editable installation's, which `setup.py` builds
        and not any(fnmatch(name, pattern) for pattern in data.get(package, []))
    ]
    assert not left_out


def test_one_name_is_installed() -> None:
    assert {name.partition(".")[0] for name in setuptools_table()["packages"]} == {"vcam_relight"}


def test_the_package_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vcam_relight", "--version"],
        cwd=ROOT / "src",
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"vcam {vcam_relight.__version__}\n"
