"""What tests of the light stage share: its asset pack, and when they are left out."""

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def require(*modules: str) -> list[ModuleType]:
    """Imports what a test needs beyond the extra `test`; what is missing leaves the test out."""
    found = []
    for name in modules:
        try:
            found.append(importlib.import_module(name))
        except ImportError as error:
            leave_out(f"{error}; install the extra 'truth' for the light stage's tests")
    return found


def leave_out(reason: str) -> None:
    """Skips the test with `reason`, or fails it where the light stage is required."""
    if os.environ.get("VCAM_REQUIRE_LIGHTSTAGE") == "1":
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def open_pack() -> Any:
    """The asset pack that VCAM_LIGHTSTAGE names."""
    from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack

    path = os.environ.get("VCAM_LIGHTSTAGE")
    if not path or not Path(path).is_file():
        leave_out("VCAM_LIGHTSTAGE names no asset pack; docs/lightstage.md says how to build it")
    assert path is not None
    return AssetPack.open(Path(path))
