"""The command line as a user meets it: help, wrong usage, exit statuses, the listing commands."""

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image

from support.clips import image, make_clip
from vcam_relight.pipeline.engines.passthrough import PassthroughEngine
from vcam_relight.pipeline.engines.registry import ENGINES, EngineInfo
from vcam_relight.vcam.cli.main import main
from vcam_relight.vcam.cli.terminal import set_up_logging
from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.vcam.device import check_device, engine_on

COMMANDS = ("run", "image", "video", "bench", "devices", "presets", "doctor", "setup")

GOOD_PRESET = """
[my-lamp]
title = "My lamp"
[[my-lamp.light]]
azimuth = 30
elevation = 20
"""


def vcam(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the program as `python run_vcam.py ARGS` in a process of its own."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run_vcam.py"), *args],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | env,
    )


def test_help_names_every_command_and_loads_no_heavy_library() -> None:
    code = (
        "import sys; from vcam_relight.vcam.cli.main import main; status = main(['--help'])\n"
        "heavy = {'torch', 'cv2', 'av', 'numpy', 'aiortc'} & set(sys.modules)\n"
        "print('heavy:', heavy or None); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert "heavy: None" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str) -> None:
    done = vcam(command, "--help")
    assert done.returncode == 0
    assert "usage: vcam " + command in done.stdout


def test_version() -> None:
    done = vcam("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("vcam 0.")


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["frobnicate"], "invalid choice"),
        (["--size", "12"], "no size like 1280x720"),
        (["--size", "99999x20"], "between 16 and"),
        (["--fps", "nan"], "no number"),
        (["--fps", "0"], "between 1 and 240"),
        (["--port", "70000"], "no port"),
        (["--seconds", "-1"], "above 0"),
        (["--device", "tpu"], "invalid choice"),
        (["--preset", "nope"], "rembrandt"),
        (["run", "--engine", "nope"], "passthrough"),
        (["--sink", "teapot", "--source", "peer"], "device:NAME"),
        (["--source", "camera:first"], "camera:0"),
        (["--source", ""], "--source takes camera"),
        (["--ice-server", "example.org"], "stun:"),
        (["--max-peers", "-1"], "between 0 and 64"),
        (["presets", "--nope"], "unrecognized"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_is_right(args: list[str], word: str) -> None:
    done = vcam(*args)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--source", "missing.mp4"], "vcam: there is no file missing.mp4; "),
        (["--source", "camera:99"], "vcam: there is no camera 99"),
        (["--source", "peer", "--sink", "device:/dev/video99"], "vcam: there is no virtual camera"),
        (["--source", "peer", "--sink", "none", "--host", "0.0.0.0"], "TLS"),
        (["--source", "peer", "--sink", "none", "--record", "out.txt"], "use one of .mp4"),
        (["--source", "peer", "--sink", "none", "--record", "none/out.mp4"], "none/out.mp4"),
    ],
)
def test_what_cannot_work_is_status_1_and_one_line(args: list[str], words: str) -> None:
    done = vcam(*args, "--no-browser", "--port", "0")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert words in line and "; " in line
    assert "panel" not in done.stdout


def test_cuda_that_is_not_there_is_told_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    neural = EngineInfo(lambda device: PassthroughEngine(), cuda="torch")
    monkeypatch.setitem(ENGINES, "neural", neural)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(VcamError, match=r"no CUDA device\); use --device cpu"):
        check_device("cuda", "neural")
    with pytest.raises(VcamError, match="no CUDA device"):
        engine_on("neural", "cuda")
    assert engine_on("neural", "auto").runs_on == "CPU"


def test_a_gpu_that_fails_is_left_alone_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    def made(device: str) -> PassthroughEngine:
        if device == "cuda":
            raise RuntimeError("CUDA error: no kernel image is available\nCompile with ...")
        return PassthroughEngine()

    monkeypatch.setitem(ENGINES, "neural", EngineInfo(made, cuda="torch"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert engine_on("neural", "auto").name == "passthrough"
    (line,) = caplog.messages
    assert line.endswith(
        "runs on the CPU, as CUDA fails (CUDA error: no kernel image is available)"
    )
    with pytest.raises(VcamError, match=r"no kernel image.*--device cpu"):
        engine_on("neural", "cuda")


def test_a_torch_that_does_not_load_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(VcamError, match=r"'paper' does not load .*torch"):
        engine_on("paper", "auto")


@pytest.mark.parametrize("command", ["run", "image", "video", "bench"])
def test_cuda_changes_nothing_for_an_engine_without_torch(command: str, tmp_path: Path) -> None:
    small = tmp_path / "in.png"
    Image.new("RGB", (32, 32)).save(small)
    make_clip(tmp_path / "in.mp4", images=[image(0)] * 3, audio=None)
    args = {
        "run": ["--source", str(small), "--sink", "none", "--no-browser", "--port", "0"],
        "image": [str(small), str(tmp_path / "out.png")],
        "video": [str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4")],
        "bench": ["--frames", "2", "--size", "64x48"],
    }[command]
    if command == "run":
        args += ["--seconds", "1"]
    done = vcam(command, *args, "--engine", "passthrough", "--device", "cuda")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("--device cuda changes nothing") == 1


def test_ctrl_c_is_a_failure_of_all_but_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    for command, status in {"bench": 1, "presets": 1, "run": 0}.items():
        monkeypatch.setattr(f"vcam_relight.vcam.cli.commands.{command}.run", stop)
        assert main([command]) == status
        said = capsys.readouterr().err
        assert said == ("vcam: stopped: nothing was written\n" if status else "")


def test_log_lines_say_what_the_exception_was(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbose=False)
    try:
        raise ValueError("no such\nlamp")
    except ValueError:
        logging.getLogger("vcam_relight.test").exception("the lamp failed")
    logging.getLogger("aiohttp.server").error("bad request")
    assert capsys.readouterr().err == "vcam: the lamp failed: ValueError: no such lamp\n"


def test_port_in_use_is_told_with_the_mend() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = vcam("--source", "peer", "--sink", "none", "--port", port, "--no-browser")
        assert done.returncode == 1
        assert "in use" in done.stderr and "--port" in done.stderr
        checks = json.loads(vcam("doctor", "--json", "--port", port).stdout)["checks"]
        (check,) = [check for check in checks if check["name"] == "port"]
        assert check["level"] == "warn"


def test_unexpected_error_is_one_line_and_v_shows_the_trace(tmp_path: Path) -> None:
    (tmp_path / "platformdirs.py").write_text("raise RuntimeError('broken\\ninstallation')")
    done = vcam("presets", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        "vcam: RuntimeError: broken installation; please report it; -v shows the trace\n"
    )
    assert "Traceback" in vcam("-v", "presets", PYTHONPATH=str(tmp_path)).stderr
    assert "Traceback" in vcam("presets", "-v", PYTHONPATH=str(tmp_path)).stderr


def test_presets_lists_the_users_own_and_names_what_is_wrong(config_home: Path) -> None:
    folder = config_home / "presets"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(GOOD_PRESET)
    (folder / "broken.toml").write_text("[[[")
    (folder / "odd.toml").write_text("[odd]\nlamp = 3\n")
    done = vcam("presets", "--json")
    listing = json.loads(done.stdout)
    names = [preset["name"] for preset in listing["presets"]]
    assert {"off", "auto", "rembrandt", "my-lamp"} <= set(names)
    assert "odd" not in names
    assert listing["folder"] == str(folder)
    assert len(listing["problems"]) == 2
    text = vcam("presets")
    assert text.returncode == 0
    assert "My lamp" in text.stdout
    assert "broken.toml" in text.stderr and "unknown key 'lamp'" in text.stderr
    doctor = json.loads(vcam("doctor", "--json").stdout)
    (check,) = [check for check in doctor["checks"] if check["name"] == "presets"]
    assert check["level"] == "warn" and "broken.toml" in check["detail"]


def test_devices_lists_both_kinds() -> None:
    done = vcam("devices", "--json")
    assert done.returncode == 0
    assert set(json.loads(done.stdout)) == {"cameras", "virtual_cameras"}
    text = vcam("devices").stdout
    assert "Cameras" in text and "Virtual cameras" in text


def test_doctor_passes_without_camera_and_gpu() -> None:
    done = vcam("doctor", "--json", "--port", "0", "--engines")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert [c for c in checks.values() if c["level"] == "fail"] == []
    assert done.returncode == 0
    assert {"python", "models", "engine", "gpu", "cameras", "virtual camera"} <= set(checks)
    assert all(
        check["hint"]
        for check in checks.values()
        if check["name"] == "cameras" and check["level"] == "warn"
    )


def test_doctor_fails_where_the_engine_cannot_load(tmp_path: Path) -> None:
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text("raise ImportError('wrong libc')")
    done = vcam("doctor", "--engines", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert any("wrong libc; pip install ai-edge-litert" in line for line in failed)
    assert any(line.startswith("fail engine") for line in failed)


def test_output_into_a_closed_pipe_is_no_error() -> None:
    command = f'"{sys.executable}" "{ROOT / "run_vcam.py"}" presets | head -c 1'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
