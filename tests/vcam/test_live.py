"""The live program as a process: panel, signals, recording, saved settings, failing parts."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import ROOT

from support.live_parts import running
from support.stand_ins import wait_for
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.vcam.settings.persistence import restore, save_changes
from vcam_relight.vcam.settings.store import Settings, SettingsStore

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="signals are sent as on Linux and macOS"
)


@pytest.fixture
def still(tmp_path: Path) -> str:
    """An image file, which plays as a stream without end."""
    path = tmp_path / "still.png"
    cv2.imwrite(str(path), np.full((120, 160, 3), 90, np.uint8))
    return str(path)


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("args", [["--source", "demo"], ["run"]], ids=["demo", "nothing named"])
def test_seconds_runs_stops_and_sums_up(args: list[str], tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    command = [sys.executable, str(ROOT / "run_vcam.py"), *args]
    command += ["--seconds", "2", "--sink", "none", "--no-browser", "--port", "0"]
    done = subprocess.run(
        [*command, "--record", str(target)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    panel, summary = done.stdout.splitlines()
    assert panel.startswith("panel: http://127.0.0.1:")
    assert "frames in" in summary and "latency" in summary
    assert frames_of(target) > 5
    # every line is ours: no chatter of TFLite, OpenCV or FFmpeg
    assert all(line.startswith("vcam: ") for line in done.stderr.splitlines()), done.stderr


def test_it_ends_at_once_while_an_engine_is_busy_loading() -> None:
    code = f"""
import sys
import torch
sys.path.insert(0, {str(ROOT)!r})
from vcam_relight.pipeline.engines.registry import ENGINES, EngineInfo
from vcam_relight.vcam.cli.main import program

def load(device: str) -> None:
    a = torch.rand(1500, 1500)
    while True:
        torch.mm(a, a)  # native code, which aborts when Python takes its thread away

ENGINES["geometry"] = EngineInfo(load)
program()
"""
    command = [sys.executable, "-c", code, "--source", "demo", "--engine", "geometry"]
    command += ["--seconds", "1", "--sink", "none", "--no-browser", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "frames in" in done.stdout


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_cleanly_with_the_recording_complete(
    how: signal.Signals, still: str, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    with running("--source", still, "--sink", "none", "--record", str(target)) as program:
        wait_for(lambda: program.ask("/api/state")["stats"]["frames_out"] >= 20)
        status, _, err = program.stop(how)
    assert status == 0, err
    assert frames_of(target) > 3
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["out.mp4"]
    assert not list(tmp_path.glob(".*part*"))


def test_the_summary_says_that_nobody_watched(still: str) -> None:
    with running("--source", still, "--sink", "none", "--seconds", "1") as program:
        status, out, err = program.end()
    assert status == 0, err
    assert out.splitlines()[-1].endswith(" frames in, idle: nobody watched")


def test_what_the_panel_was_left_at_comes_back(still: str, config_home: Path) -> None:
    common = ("--source", still, "--sink", "none")
    with running(*common, "--engine", "passthrough") as program:
        program.ask("/api/settings", {"preset": "candle", "warmth": 0.5, "mirror": True})
        assert program.stop()[0] == 0
    saved = json.loads((config_home / "settings.json").read_text())
    assert saved["preset"] == "candle"
    assert "engine" not in saved  # asked for on the command line, once
    assert [path.name for path in config_home.iterdir()] == ["settings.json"]

    with running(*common) as program:
        settings = program.ask("/api/state")["settings"]
        assert (settings["preset"], settings["warmth"]) == ("candle", 0.5)
        assert settings["mirror"] is True
        assert settings["engine"] == "triplane"
        assert program.stop()[0] == 0

    with running(*common, "--preset", "window", "--no-mirror") as program:
        settings = program.ask("/api/state")["settings"]
        assert (settings["preset"], settings["warmth"]) == ("window", 0.0)
        assert settings["mirror"] is False
        assert program.stop()[0] == 0
    assert json.loads((config_home / "settings.json").read_text()) == saved


DAMAGED = {
    "cut short": b'{"preset": "cand',
    "no object": b"[1, 2]",
    "binary": b"\xff\xfe\x00",
    "unknown preset": b'{"preset": "of a former life"}',
    "unknown names": b'{"lamp": 3, "candles": 2}',
    "infinite": b'{"warmth": 1e999}',
    "wrong type": b'{"mirror": "no"}',
    "deep": b"[" * 60000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_saved_settings_are_one_warning_and_change_nothing(
    content: bytes, config_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config_home.mkdir(parents=True)
    (config_home / "settings.json").write_bytes(content)
    store = SettingsStore(load_presets()[0], Settings("soft-front"))
    before = store.current
    saved = restore(store)
    assert store.current is before
    (record,) = caplog.records
    assert "saved settings are ignored" in record.getMessage()
    save_changes(saved, before.settings, store.change({"warmth": 0.5}).settings)
    caplog.clear()
    again = SettingsStore(load_presets()[0], Settings("soft-front"))
    restore(again)
    assert again.current.settings.relight.warmth == 0.5


def test_a_stale_name_among_the_saved_settings_loses_only_itself(
    config_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config_home.mkdir(parents=True)
    file = config_home / "settings.json"
    file.write_text('{"warmth": 0.5, "preset": "deleted", "engine": "gone", "mirror": true}')
    store = SettingsStore(load_presets()[0], Settings("soft-front"))
    saved = restore(store)
    now = store.current.settings
    assert (now.preset, now.relight.warmth, now.mirror) == ("soft-front", 0.5, True)
    (record,) = caplog.records
    assert "'deleted'" in record.getMessage() and "'gone'" in record.getMessage()
    save_changes(saved, now, store.change({"mirror": False}).settings)
    assert json.loads(file.read_text()) == {"warmth": 0.5, "mirror": False}


def test_program_starts_with_damaged_saved_settings(config_home: Path) -> None:
    config_home.mkdir(parents=True)
    (config_home / "settings.json").write_bytes(DAMAGED["cut short"])
    with running("--source", "peer", "--sink", "none") as program:
        assert program.ask("/api/state")["settings"]["preset"] == "soft-front"
        status, _, err = program.stop()
    assert status == 0
    (line,) = err.splitlines()
    assert line.startswith("vcam: saved settings are ignored")


def test_engine_that_cannot_load_lets_the_image_through_and_fails_the_run(
    still: str, tmp_path: Path
) -> None:
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text("raise ImportError('wrong libc')")
    target = tmp_path / "out.mp4"
    args = ("--source", still, "--sink", "none", "--record", str(target), "--preset", "window")
    with running(*args, PYTHONPATH=str(tmp_path)) as program:
        wait_for(lambda: "wrong libc" in program.ask("/api/state")["reason"])
        assert program.ask("/api/state")["state"] == "degraded"
        program.wait_for_frames(30)
        status, _, err = program.stop()
    assert status == 1
    assert "wrong libc" in err.splitlines()[-1] and "vcam doctor" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert frames_of(target) > 3


def test_sink_auto_without_a_virtual_camera_says_how_to_get_one(still: str) -> None:
    if Path("/sys/module/v4l2loopback").exists():
        pytest.skip("v4l2loopback is loaded here")
    with running("--source", still) as program:
        program.wait_for_frames()
        status, _, err = program.stop()
    assert status == 0
    assert "only the preview" in err
    assert "v4l2loopback" in err or "OBS" in err
