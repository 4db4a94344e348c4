"""Fixtures that every test shares."""

import os
from pathlib import Path
from typing import Any

import pytest

from support import stage

ROOT = Path(__file__).parent.parent

collect_ignore = [] if os.environ.get("VCAM_GUEST") else ["guest"]
"""Those tests take real video devices; they run in the guest that `guest/run.sh` starts alone."""


@pytest.fixture(autouse=True)
def config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder: tests neither read nor write the user's own, nor does a
    program that the user runs hear their commands."""
    home = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("VCAM_CONTROL", str(tmp_path / "run" / "control.sock"))
    return home / "vcam"


@pytest.fixture(scope="session")
def pack() -> Any:
    """The light stage's asset pack; leaves the test out where there is none."""
    return stage.open_pack()
