"""`vcam video`: relights a video file."""

import argparse
import logging
from contextlib import closing
from pathlib import Path

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.cli.backdrop_arguments import add_backdrop_arguments, backdrop_of_args
from vcam_relight.vcam.cli.lighting_arguments import (
    add_lighting_arguments,
    engine_of_args,
    expects_change,
    light_files,
    lighting_of_args,
)

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """IN, OUT and the lighting options."""
    parser.add_argument("input", type=Path, metavar="IN", help="any video file")
    parser.add_argument("output", type=Path, metavar="OUT", help=".mp4, .mov, .mkv or .webm")
    add_lighting_arguments(parser)
    add_backdrop_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes OUT, showing progress on stderr, and returns 0.

    Raises:
        VcamError: with what failed; OUT is then as it was.
    """
    from vcam_relight.pipeline.relighter import Relighter
    from vcam_relight.vcam.cli.terminal import progress_bar
    from vcam_relight.vcam.core.atomic_file import check_in_out
    from vcam_relight.vcam.media.files import encoder_of
    from vcam_relight.vcam.media.video import convert_video

    check_in_out(args.input, args.output, light_files(args))
    encoder_of(args.output)
    lighting, settings = lighting_of_args(args)
    backdrop = backdrop_of_args(args)
    engine = engine_of_args(args)
    changed = False

    def change(image: BgrImage, seconds: float) -> BgrImage:
        nonlocal changed
        relit = relighter.process(image, seconds, lighting, settings)
        changed = changed or relit is not image
        return relit

    bar = progress_bar(args.output.name, " frames")

    def progress(expected: int | None) -> None:
        bar.total = max(expected, bar.n + 1) if expected else None
        bar.update()

    with bar, closing(engine), Relighter(engine) as relighter:
        relighter.backdrop = backdrop
        notes = convert_video(args.input, args.output, change, progress)
        bar.total = bar.n  # what the file stated may have been an estimate
        bar.refresh()
    if not changed and expects_change(engine, lighting, settings):
        notes.append("no face was found: the picture is unchanged")
    for note in notes:
        log.warning("%s: %s", args.input, note)
    return 0
