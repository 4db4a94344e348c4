"""Fixtures that every test shares."""

from pathlib import Path
from typing import Any

import pytest

import stage

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder: tests neither read nor write the user's own."""
    home = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    return home / "vcam"


@pytest.fixture(scope="session")
def pack() -> Any:
    """The light stage's asset pack; leaves the test out where there is none."""
    return stage.open_pack()
