"""`vcam set`, `get`, `next` and `watch`: one path to the program that runs, for its user alone."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.web_parts import running, until
from vcam_relight.vcam.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "run" / "control.sock"
    monkeypatch.setenv("VCAM_CONTROL", str(found))
    return found


async def _said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = await asyncio.to_thread(main, list(arguments))
    out, err = capsys.readouterr()
    return status, out.strip(), err.strip()


async def test_what_runs_is_set_and_asked(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(commands=path) as served:
        await until(lambda: served.loop.status().runs_on)
        status, out, _ = await _said(capsys, "set", "preset=rim", "intensity=1.25", "mirror=on")
        current = served.store.current
        assert (status, out) == (0, f"settings {current.id}: preset rim")
        settings = current.settings
        assert (settings.preset, settings.mirror, settings.relight.intensity) == ("rim", True, 1.25)
        assert (await _said(capsys, "get", "intensity"))[1] == "1.25"
        assert (await _said(capsys, "set", "aim=-40,20"))[0] == 0
        assert (await _said(capsys, "get", "aim"))[1] == "-40,20"
        _, out, _ = await _said(capsys, "get", "--json")
        state = json.loads(out)
        assert state["settings_id"] == served.store.current.id and state["source"] == "scene"
        _, out, _ = await _said(capsys, "get")
        assert "mirror=true" in out.splitlines() and "on: CPU" in out.splitlines()[0]
        names = list(served.store.presets)
        _, out, _ = await _said(capsys, "next", "--json")
        ack = json.loads(out)
        following = names[(names.index("rim") + 1) % len(names)]
        assert ack["settings"]["preset"] == following == served.store.current.settings.preset
        for wrong, words in (
            ("preset=none", "there is no preset called"),
            ("intensity=bright", "must be a number"),
            ("light=1", "there is no setting called"),
            ("intensity=99", "intensity"),
        ):
            before = served.store.current.id
            status, out, err = await _said(capsys, "set", wrong)
            assert (status, out) == (1, "") and words in err and len(err.splitlines()) == 1
            assert served.store.current.id == before
        # The panel's page is told like everybody else.
        assert (await served.get("/api/state"))["settings"]["preset"] == following


async def test_changes_are_watched_until_the_program_ends(path: Path) -> None:
    async with running(commands=path) as served:
        watching = await asyncio.create_subprocess_exec(
            sys.executable, "run_vcam.py", "watch", "--changes",
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert watching.stdout is not None
        first = json.loads(await watching.stdout.readline())
        assert first["settings"]["preset"] == "key-left"
        served.store.change({"preset": "window"})
        following = json.loads(await watching.stdout.readline())
        while following["settings"]["preset"] != "window":  # it had begun meanwhile
            following = json.loads(await watching.stdout.readline())
        assert following["settings_id"] == served.store.current.id
    assert await asyncio.wait_for(watching.wait(), 10) == 0


async def test_the_socket_is_its_users_alone_and_goes_with_the_program(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(commands=path) as served:
        assert (_mode(path), _mode(path.parent)) == (0o600, 0o700)
        async with running(commands=path) as other:
            await _said(capsys, "set", "preset=rim")
            assert served.store.current.settings.preset == "rim", "the first one keeps it"
            assert other.store.current.settings.preset == "key-left"
        assert (await _said(capsys, "get", "preset"))[1] == "rim"
    assert _mode(path) is None
    status, out, err = await _said(capsys, "get")
    assert (status, out) == (1, "") and err == "vcam: no vcam runs here; start it with `vcam`"
    with socket.socket(socket.AF_UNIX) as stale:  # of a program that was killed
        stale.bind(str(path))
    async with running(commands=path) as served:
        assert (await _said(capsys, "get", "preset"))[1] == "key-left"
    os.chmod(path.parent, 0o755)  # noqa: PTH101
    async with running(commands=path):
        assert "others may enter" in capsys.readouterr().err and _mode(path) is None


def _mode(path: Path) -> int | None:
    return path.stat().st_mode & 0o777 if path.exists() else None


def test_without_a_program_that_is_one_line(path: Path) -> None:
    for command in (["set", "preset=rim"], ["get"], ["next"], ["watch"]):
        done = subprocess.run(
            [sys.executable, "run_vcam.py", *command],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr == "vcam: no vcam runs here; start it with `vcam`\n"
