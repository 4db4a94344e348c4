"""`vcam bench`: how fast the whole pipeline is on this machine, against doing nothing."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vcam_relight.pipeline.compositing.backdrop import BACKDROPS
from vcam_relight.vcam.cli.commands import size
from vcam_relight.vcam.cli.lighting_arguments import (
    DEFAULT_PRESET,
    DEVICES,
    add_engine_arguments,
)

if TYPE_CHECKING:
    from vcam_relight.vcam.bench.benchmark import Result

BASELINE = "passthrough"
DEFAULT_FRAMES = 300
MOST_FRAMES = 100_000
MOST_FPS = 1000
MOST_BUSY = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Size, frames, pace, engine and output format."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--size", type=size, default=(1280, 720), metavar="WxH", help="1280x720")
    parser.add_argument(
        "--frames",
        type=_count(2, MOST_FRAMES),
        default=DEFAULT_FRAMES,
        metavar="N",
        help="frames measured (300)",
    )
    parser.add_argument(
        "--pace",
        type=_count(1, MOST_FPS),
        metavar="FPS",
        help="frames come as from a camera of so many a second, not as fast as they are taken",
    )
    parser.add_argument(
        "--busy",
        type=_count(0, MOST_BUSY),
        default=0,
        metavar="N",
        help="meanwhile keep N other processes busy, as a meeting does",
    )
    parser.add_argument(
        "--backdrop", choices=BACKDROPS[:-1], default="keep", help="what is behind people (keep)"
    )
    add_engine_arguments(parser, devices=(*DEVICES, "emulated"))


def run(args: argparse.Namespace) -> int:
    """Measures the baseline, then the engine, prints both and returns 0.

    Raises:
        VcamError: the demo clip is missing, the engine does not load or fails.
    """
    from vcam_relight.pipeline.lighting.presets import load_presets
    from vcam_relight.vcam.bench.benchmark import (
        busy_processes,
        decoded,
        encoded_clip,
        machine,
        measure,
    )
    from vcam_relight.vcam.device import check_device, engine_on
    from vcam_relight.vcam.settings.store import Settings

    check_device(args.device, args.engine)
    engine = engine_on(args.engine, args.device)
    clip = encoded_clip(args.size, args.frames)
    presets, _ = load_presets()
    results = {}
    measured = {BASELINE: engine_on(BASELINE, "cpu"), engine.name: engine}
    if engine.card is not None:  # beside what the same engine does without
        measured[f"{engine.name} on the CPU"] = engine_on(engine.name, "cpu")
    for name, made in measured.items():
        settings = Settings(
            preset=DEFAULT_PRESET,
            engine=made.name,
            backdrop="keep" if name == BASELINE else args.backdrop,
            relight=presets[DEFAULT_PRESET].controls,
        )
        with busy_processes(args.busy):
            results[name] = measure(made, clip, args.frames, presets, settings, pace=args.pace)
    report = {
        "size": list(args.size),
        "frames": args.frames,
        "preset": DEFAULT_PRESET,
        "pace": args.pace,
        "backdrop": args.backdrop,
        "busy": args.busy,
        "baseline": BASELINE,
        "engine": engine.name,
        "runs_on": engine.runs_on,
        "results": {name: result.to_json() for name, result in results.items()},
        "fps_ratio": round(results[engine.name].fps / results[BASELINE].fps, 3),
        "machine": machine(),
    }
    text = _table(report, results)
    if engine.card is not None:
        from vcam_relight.vcam.bench.cuda import measure_card, table

        report["card"] = measure_card(engine.card, engine, decoded(clip[0]))
        text += table(report["card"])
    sys.stdout.write(json.dumps(report) + "\n" if args.json else text)
    return 0


def _table(report: dict[str, Any], results: "dict[str, Result]") -> str:
    width, height = report["size"]
    about = report["machine"]
    pace = f"a camera of {report['pace']} fps" if report["pace"] else "as fast as it goes"
    busy = f", beside {report['busy']} busy processes" if report["busy"] else ""
    lines = [
        f"{width}x{height}, {report['frames']} frames, preset {report['preset']}, {pace}{busy}",
        f"{about['cpu']}, {about['cores']} cores, Python {about['python']}, "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
        "",
        "| engine | fps | cpu | frame p50 / p99 | age p50 / p99 | interval p50 / p99 | drops |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        cells = (_pair(result.frame_ms), _pair(result.age_ms), _pair(result.interval_ms))
        numbers = f"{result.fps:.1f} | {result.cpu_ms:.1f}"
        lines.append(f"| {name} | {numbers} | {' | '.join(cells)} | {result.drops} |")
    lines += ["", "| engine | stage | p50 / p99 ms |", "|---|---|---|"]
    for name, result in results.items():
        lines += [f"| {name} | {stage} | {_pair(ms)} |" for stage, ms in result.stages_ms.items()]
    lines += [
        "",
        "Times are in ms. cpu: of all cores, over the frames that came out. frame: work on one,",
        "from camera's JPEG to virtual camera's I420. age: the same with waiting for free slots.",
        "interval: between two frames out. drops: frames that did not come out.",
        f"{report['engine']} runs at {report['fps_ratio']:.2f} times the {BASELINE}'s frame rate, "
        f"on: {report['runs_on']}.",
    ]
    return "\n".join(lines) + "\n"


def _pair(ms: dict[str, float]) -> str:
    return f"{ms['p50']:.2f} / {ms['p99']:.2f}"


def _count(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no number between {least} and {most}")
        return int(text)

    return parse
