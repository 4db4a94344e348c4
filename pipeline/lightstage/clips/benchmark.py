"""Measures the training stream: frames an hour, and processor time per frame."""

import argparse
import os
import resource
import time
from pathlib import Path

from vcam_relight.pipeline.lightstage.assets.asset_pack import default_pack_path
from vcam_relight.pipeline.lightstage.clips.clip import ClipRecipe
from vcam_relight.pipeline.lightstage.clips.stream import ClipStream


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--pack", type=Path, default=default_pack_path(), help="the asset pack")
    parser.add_argument("--clips", type=int, default=8, help="how many clips to render")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--size", type=int, default=256, help="pixels of an image's side")
    parser.add_argument("--views", type=int, default=1, help="novel views of each frame")
    parser.add_argument("--seed", type=int, default=0)


def run(arguments: argparse.Namespace) -> None:
    """Renders and prints what it took."""
    recipe = ClipRecipe(size=arguments.size, views=arguments.views)
    stream = ClipStream(
        arguments.pack, arguments.seed, recipe, arguments.workers, stop=arguments.clips
    )
    before, start = _processor_time(), time.perf_counter()
    frames = sum(1 for _ in stream.frames())
    wall, processor = time.perf_counter() - start, _processor_time() - before
    size = f"{arguments.size}x{arguments.size}"
    print(
        f"{frames} frames of {arguments.clips} clips at {size}, two lightings, "
        f"{arguments.views} novel view(s), {arguments.workers} worker(s)\n"
        f"{3600 * frames / wall:,.0f} frames an hour ({wall:.1f} s, starting up included)\n"
        f"{processor / frames:.3f} s of processor time a frame "
        f"({3600 / (processor / frames):,.0f} frames an hour and core)"
    )


def _processor_time() -> float:
    """Seconds of this process and of those that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)
