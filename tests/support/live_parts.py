"""The live program as a process, with its panel."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conftest import ROOT

from support.stand_ins import PATIENCE_S, wait_for


class Running:
    """A started program and its panel."""

    def __init__(self, *args: str, root: Path = ROOT, **env: str) -> None:
        command = [sys.executable, str(root / "run_vcam.py"), "--port", "0", "--no-browser", *args]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | env,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("panel: "), line + self.process.communicate()[1]
        self.url, self.token = line.removeprefix("panel: ").strip().split("/#token=")

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            result: dict[str, Any] = json.load(answer)
            return result

    def wait_for_frames(self, count: int = 5) -> None:
        wait_for(lambda: self.ask("/api/state")["stats"]["frames_in"] >= count)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(how)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@contextlib.contextmanager
def running(*args: str, root: Path = ROOT, **env: str) -> Iterator[Running]:
    """The program of the checkout at `root`, killed at the end."""
    program = Running(*args, root=root, **env)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.communicate()
