"""`vcam bench`: the whole pipeline, measured against doing nothing, as JSON and as a table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vcam_relight.vcam.cli.main import main

ROOT = Path(__file__).parents[2]


def test_json_has_both_engines_and_every_stage() -> None:
    command = [sys.executable, "run_vcam.py", "bench", "--json", "--size", "320x180"]
    done = subprocess.run(
        [*command, "--frames", "40"], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["size"] == [320, 180] and report["frames"] == 40
    assert list(report["results"]) == [report["baseline"], report["engine"]]
    assert report["machine"]["cores"] >= 1 and report["machine"]["cpu"]
    for result in report["results"].values():
        stages = result["stages_ms"]
        assert result["drops"] == 0 and result["fps"] > 0
        assert {"decode", "relight (all)", "convert"} <= set(stages)
        times = (result["frame_ms"], result["age_ms"], result["interval_ms"], *stages.values())
        assert all(0 <= ms["p50"] <= ms["p99"] for ms in times)
        # All cores' time is at least that of the stages of one thread.
        assert result["cpu_ms"] > 0.5 * stages["relight (all)"]["p50"]
        # A frame's work is what its parts take, and it cannot be out sooner than that.
        parts = sum(stages[name]["p50"] for name in ("decode", "relight (all)", "convert"))
        assert result["frame_ms"]["p50"] == pytest.approx(parts, rel=0.5)
        assert result["age_ms"]["p50"] >= 0.9 * result["frame_ms"]["p50"]
        inner = sum(ms["p50"] for name, ms in stages.items() if name not in _WHOLE)
        assert inner <= 1.3 * stages["relight (all)"]["p50"] + 0.1
    engine = report["results"][report["engine"]]
    baseline = report["results"][report["baseline"]]
    assert len(engine["stages_ms"]) > len(baseline["stages_ms"])
    assert report["fps_ratio"] == pytest.approx(engine["fps"] / baseline["fps"], rel=0.01, abs=1e-3)


_WHOLE = {"decode", "relight (all)", "convert"}


def test_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--frames", "5", "--size", "321x181", "--engine", "passthrough"]
    assert main(["bench", *arguments]) == 0
    table = capsys.readouterr().out
    assert "| passthrough |" in table and "321x181, 5 frames" in table


def test_at_a_cameras_pace_beside_another_program(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--frames", "30", "--size", "160x90", "--engine", "passthrough"]
    assert main(["bench", *arguments, "--json", "--pace", "50", "--busy", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["pace"], report["busy"]) == (50, 1)
    result = report["results"]["passthrough"]
    # The camera's frames, no more: those that were late count as drops.
    assert result["fps"] == pytest.approx(50 * (30 - result["drops"]) / 30, rel=0.1)
    assert 0 < result["age_ms"]["p50"] < 100


def test_wrong_options() -> None:
    for options in (
        ["--pace", "0"],
        ["--busy", "-1"],
        ["--frames", "1"],
        ["--size", "big"],
        ["--engine", "magic"],
    ):
        assert main(["bench", *options]) == 2


def test_an_engine_that_fails_is_no_measurement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vcam_relight.pipeline.engines.passthrough import PassthroughStream

    def fail(*arguments: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(PassthroughStream, "relight", fail)
    assert main(["bench", "--frames", "5", "--size", "320x180"]) == 1
    said = capsys.readouterr()
    assert "out of order" in said.err and not said.out


def test_a_card_is_measured_kernel_by_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--frames", "2", "--size", "320x180", "--device", "emulated"]
    assert main(["bench", *arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["runs_on"] == "CUDA, emulated" and "triplane on the CPU" in report["results"]
    steps = report["card"]["steps"]
    expected = {"network", "gain", "frame: noise taken out, lit", "face_landmark"}
    assert expected | {"selfie_segmentation_landscape"} <= set(steps)
    convolutions = [steps["network"]["kernels"][f"convolve_{width}"] for width in (16, 32)]
    # 1.47 GFLOP as torch counts them, and channels that are there to fill sixteens.
    assert 1.4 < sum(one["gigaflop"] for one in convolutions) < 1.7
    for step in steps.values():
        kernels = step["kernels"].values()
        assert step["launches"] == sum(one["launches"] for one in kernels) and step["ms"] > 0
        assert all(one["ms"] > 0 and one["megabytes"] >= 0 for one in kernels)
