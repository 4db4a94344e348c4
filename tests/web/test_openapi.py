"""The HTTP interface does what its OpenAPI document says: schemathesis asks it all there is."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from support.web_parts import running


async def test_the_server_answers_as_its_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("schemathesis")
    monkeypatch.setenv("XDG_VIDEOS_DIR", str(tmp_path / "Videos"))
    async with running() as served:
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", served.server.origin + "/openapi.json",
            "--header", f"Authorization: Bearer {served.server.token}",
            "--max-examples", "12", "--seed", "1", "--phases", "coverage,fuzzing",
            "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_schema_conformance", "--request-timeout", "20", "--no-color",
        ]  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=200, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert served.loop.problem == ""
