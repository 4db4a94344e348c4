"""`vcam setup`, the systemd unit that it prints, and the Dockerfile."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from vcam_relight.vcam.cli.commands.setup import linux, unit
from vcam_relight.vcam.doctor.loopback import check_next_start
from vcam_relight.vcam.doctor.system import System

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shells and signals as on Linux")

PROGRAM = [sys.executable, str(ROOT / "run_vcam.py")]


def setup(*args: str, **env: str) -> str:
    """What `vcam setup` prints."""
    done = subprocess.run(
        [*PROGRAM, "setup", *args],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | env,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("release", "install", "key"),
    [
        ("ID=debian", "apt install v4l2loopback-dkms", "/var/lib/dkms/mok.pub"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"', "apt install v4l2loopback-dkms", "MOK.der"),
        ("ID=fedora", "dnf install akmod-v4l2loopback", "/etc/pki/akmods"),
        ('ID="manjaro"\nID_LIKE=arch', "pacman -S --needed v4l2loopback-dkms", "mok.pub"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"', "zypper install v4l2loopback-kmp", "mok"),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"', "github.com/v4l2loopback", "mok.pub"),
        ("", "github.com/v4l2loopback", "mok.pub"),
    ],
)
def test_each_distribution_has_its_commands(release: str, install: str, key: str) -> None:
    text = linux("vcam", release)
    assert install in text
    assert re.search(rf"mokutil --import \S*{re.escape(key)}", text)
    assert "sudo modprobe v4l2loopback devices=1 exclusive_caps=1" in text
    assert 'sudo usermod -aG video "$USER"' in text


@pytest.mark.skipif(sys.platform != "linux", reason="what is printed elsewhere is no shell script")
def test_setup_runs_nothing_and_what_it_prints_can_be_run(tmp_path: Path) -> None:
    """Pasted into a shell, with programs that only note how they were called."""
    tools = tmp_path / "bin"
    tools.mkdir()
    calls = tmp_path / "calls"
    for name in ("sudo", "systemctl"):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\ncat > {tmp_path}/last\n')
        tool.chmod(0o755)
    env = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    script = setup(PATH=env["PATH"], HOME=str(tmp_path))
    assert not calls.exists()

    script = re.sub(r"^\S+ \S+ doctor$", "", script, flags=re.M)
    etc = tmp_path / "etc"
    for folder in ("modules-load.d", "modprobe.d"):
        (etc / folder).mkdir(parents=True)
    script = script.replace("sudo tee /etc/", f"tee {etc}/")
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        env=env | {"USER": "jane"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    called = calls.read_text()
    assert "sudo modprobe v4l2loopback devices=1 exclusive_caps=1 card_label=vcam" in called
    assert "sudo usermod -aG video jane" in called
    assert "systemctl --user enable --now vcam.service" in called
    assert check_next_start(System(root=tmp_path)).level == "ok"
    assert (tmp_path / ".config/systemd/user/vcam.service").read_text() == setup("--unit")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    odd = tmp_path / "50% of $HOME"
    odd.symlink_to(sys.executable)
    for command in (PROGRAM, [str(odd), str(tmp_path / 'run "$it" 10%.py')]):
        file = tmp_path / "vcam.service"
        file.write_text(unit(command))
        done = subprocess.run(
            ["systemd-analyze", "--user", "verify", str(file)],
            capture_output=True,
            text=True,
            timeout=30,
            env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


class PanelProgram:
    """A started program and its panel."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("panel: "), line + self.process.communicate()[1]
        self.url, self.token = line.removeprefix("panel: ").strip().split("/#token=")

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request to the panel's API."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            result: dict[str, Any] = json.load(answer)
            return result

    def terminate(self) -> int:
        """As systemd and Docker do; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=20)
        assert "Traceback" not in errors, errors
        return self.process.returncode


def dockerfile(instruction: str) -> list[str]:
    """The words of an instruction in JSON form."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    (line,) = re.findall(rf"^{instruction}\b[^\[\n]*(\[.*\])$", text, re.M)
    words: list[str] = json.loads(line)
    return words


def test_the_service_stops_cleanly_keeps_settings_and_the_container_is_healthy() -> None:
    """The unit's command, stopped and started as systemd does; then the image's."""
    (line,) = re.findall(r"^ExecStart=(.*)$", unit(PROGRAM), re.M)
    words = shlex.split(line)
    for given, here in (("camera", "demo"), ("device", "none")):  # this machine may have neither
        words[words.index(given)] = here
    service = PanelProgram(*words, "--port", "0")
    service.ask("/api/settings", {"preset": "candle", "mirror": True})
    assert service.terminate() == 0

    assert dockerfile("ENTRYPOINT") == ["vcam"]
    container = PanelProgram(*PROGRAM, *dockerfile("CMD"), "--port", "0")
    settings = container.ask("/api/state")["settings"]
    assert (settings["preset"], settings["mirror"]) == ("candle", True)
    port = container.url.rpartition(":")[2]
    health = [part.replace("8088", port) for part in dockerfile("HEALTHCHECK")]
    health[0] = sys.executable
    assert subprocess.run(health, timeout=20).returncode == 0
    assert container.terminate() == 0
    done = subprocess.run(health, timeout=20, capture_output=True)
    assert done.returncode == 1


def test_the_image_gets_what_the_wheel_is_made_of() -> None:
    """Docker's COPY sees what .dockerignore lets through."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = project["tool"]["setuptools"]["package-dir"].values()
    assert {folder.partition("/")[0] for folder in folders} <= set(kept)
    assert {"pyproject.toml", "README.md", "LICENSE"} <= set(kept)
