"""The pages' JavaScript without a browser: its types, its units, and the types made for it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from vcam_relight.web.declarations import FILE, declarations


def require(program: str | Path, hint: str) -> str:
    """Where `program` is; skips the test without it, or fails it where VCAM_REQUIRE_NODE=1."""
    if found := shutil.which(program):
        return found
    reason = f"{Path(program).name} is not installed ({hint})"
    if os.environ.get("VCAM_REQUIRE_NODE") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def check(*command: str | Path) -> None:
    """Runs a command in the checkout; what it prints is shown when it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_declarations_are_those_of_the_messages() -> None:
    hint = "run `python -m vcam_relight.web.declarations`"
    assert FILE.read_text("utf-8") == declarations(), hint


def test_types() -> None:
    require("node", "apt-get install nodejs")
    check(require(ROOT / "node_modules/.bin/tsc", "npm ci"))


def test_units() -> None:
    node = require("node", "apt-get install nodejs")
    check(node, "--test", *sorted((ROOT / "tests/web/js").glob("*.test.js")))
