"""`vcam video`: relights a video file."""

import argparse
import logging
import sys
from pathlib import Path

from pipeline.types import Picture
from vcam.errors import InputError, VcamError
from vcam.lighting_args import add_lighting_arguments, engine_of_args, lighting_of_args

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """IN, OUT and the lighting options."""
    parser.add_argument("input", type=Path, metavar="IN", help="any video file")
    parser.add_argument("output", type=Path, metavar="OUT", help=".mp4, .mov, .mkv or .webm")
    add_lighting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes OUT, showing progress on stderr, and returns 0.

    Raises:
        VcamError: with what failed; OUT is then as it was.
    """
    from tqdm import tqdm

    from pipeline.relighter import Relighter
    from vcam.safe_file import check_in_out
    from vcam.video_file import ENCODERS, convert

    check_in_out(args.input, args.output)
    if args.output.suffix.lower() not in ENCODERS:
        raise InputError(
            f"{args.output} has no known video ending", f"use one of {', '.join(ENCODERS)}"
        )
    lighting, settings = lighting_of_args(args)
    relighter = Relighter(engine_of_args(args, settings))

    def change(picture: Picture, seconds: float) -> Picture:
        return relighter.process(picture, seconds, lighting, settings)

    terminal = sys.stderr.isatty()
    bar = tqdm(
        desc=args.output.name,
        unit=" frames",
        file=sys.stderr,
        ascii=not terminal,
        mininterval=0.2 if terminal else 5.0,  # a log file needs fewer lines
        dynamic_ncols=terminal,
    )

    def progress(expected: int | None) -> None:
        bar.total = max(expected, bar.n + 1) if expected else None
        bar.update()

    try:
        with bar:
            notes = convert(args.input, args.output, change, progress)
            bar.total = bar.n  # what the file stated may have been an estimate
            bar.refresh()
    except KeyboardInterrupt:
        raise VcamError(f"stopped: {args.output} was not written", "start it again") from None
    for note in notes:
        log.warning("%s: %s", args.input, note)
    return 0
