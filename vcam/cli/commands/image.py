"""`vcam image`: relights one picture file."""

import argparse
import logging
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vcam_relight.vcam.cli.lighting_arguments import (
    add_lighting_arguments,
    engine_of_args,
    expects_change,
    lighting_of_args,
)

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """IN, OUT and the lighting options."""
    parser.add_argument("input", type=Path, metavar="IN", help="PNG, JPEG, WebP, BMP or TIFF")
    parser.add_argument("output", type=Path, metavar="OUT", help="its ending says the format")
    add_lighting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes OUT and returns 0.

    Raises:
        VcamError: with what failed; OUT is then as it was.
    """
    from vcam_relight.pipeline.relighter import Relighter
    from vcam_relight.vcam.core.atomic_file import check_in_out
    from vcam_relight.vcam.media.image import read_image, write_image, writer_of

    check_in_out(args.input, args.output)
    writer_of(args.output)
    lighting, settings = lighting_of_args(args)
    file = read_image(args.input)
    engine = engine_of_args(args)
    with closing(engine), Relighter(engine) as relighter:
        image = relighter.still(file.image, lighting, settings)
    notes = write_image(args.output, replace(file, image=image))
    if image is file.image and expects_change(engine, lighting, settings):
        notes.append("no face was found: the picture is unchanged")
    for note in notes:
        log.warning("%s: %s", args.input, note)
    return 0
