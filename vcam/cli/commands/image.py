"""`vcam image`: relights one image file, or many into a folder."""

import argparse
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vcam_relight.vcam.cli.backdrop_arguments import add_backdrop_arguments, backdrop_of_args
from vcam_relight.vcam.cli.lighting_arguments import (
    add_lighting_arguments,
    engine_of_args,
    expects_change,
    light_files,
    lighting_of_args,
)
from vcam_relight.vcam.core.atomic_file import check_in_out
from vcam_relight.vcam.core.errors import InputError, UsageError, VcamError

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """IN and OUT, or any number of IN with `--out`, and the lighting options."""
    parser.usage = "vcam image [OPTIONS] IN OUT\n       vcam image [OPTIONS] IN... --out FOLDER"
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="IN",
        help="PNG, JPEG, WebP, AVIF, HEIC, BMP or TIFF; without --out the last is OUT, whose "
        "ending says the format",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where each IN goes under its own name; made if it is not there",
    )
    add_lighting_arguments(parser)
    add_backdrop_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Relights the files; the engine is loaded once.

    Returns:
        0, or 1 when some of several files failed: a line for each says why.

    Raises:
        VcamError: with what failed; no output was changed by then.
    """
    from vcam_relight.pipeline.relighter import Relighter
    from vcam_relight.vcam.media.image import read_image, write_image

    if args.out is None:
        source, target = _pair(args.files)
        _check(source, target, light_files(args))
    else:
        _make_folder(args.out)
    lighting, settings = lighting_of_args(args)
    backdrop = backdrop_of_args(args)

    def relight(source: Path, target: Path) -> None:
        file = read_image(source)
        image = relighter.still(file.image, lighting, settings)
        notes = write_image(target, replace(file, image=image))
        if image is file.image and expects_change(engine, lighting, settings):
            notes.append("no face was found: the picture is unchanged")
        for note in notes:
            log.warning("%s: %s", source, note)

    with closing(engine_of_args(args)) as engine, Relighter(engine) as relighter:
        relighter.backdrop = backdrop
        if args.out is not None:
            return _relight_all(args.files, args.out, light_files(args), relight)
        relight(source, target)
        return 0


def _pair(files: Sequence[Path]) -> tuple[Path, Path]:
    if len(files) != 2:
        raise UsageError(
            f"IN and OUT are two files, not {len(files)}",
            "give both, or any number of IN and --out FOLDER",
        )
    return files[0], files[1]


def _check(source: Path, target: Path, others: Sequence[Path]) -> None:
    from vcam_relight.vcam.media.image import writer_of

    check_in_out(source, target, others)
    writer_of(target)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be made ({error.strerror})", "choose another --out"
        ) from None


def _relight_all(
    sources: Sequence[Path],
    folder: Path,
    others: Sequence[Path],
    relight: Callable[[Path, Path], None],
) -> int:
    """Has each file relit into `folder`, with progress on stderr; 1 when some failed, else 0."""
    from tqdm.contrib.logging import logging_redirect_tqdm

    from vcam_relight.vcam.cli.terminal import progress_bar

    taken = {_identity(source): f"the input {source}" for source in sources if source.exists()}
    written = 0
    with logging_redirect_tqdm(), progress_bar(folder.name, " images", len(sources)) as bar:
        for source in sources:
            target = folder / source.name
            try:
                if target.exists() and (other := taken.get(_identity(target))):
                    raise InputError(
                        f"{source} is left out: {target} is {other}",
                        "choose another --out, or other file names",
                    )
                _check(source, target, others)
                relight(source, target)
                taken[_identity(target)] = f"what {source} became"
                written += 1
            except InputError as error:
                log.error("%s", error)
            except KeyboardInterrupt:
                raise VcamError(
                    f"stopped: {written} of {len(sources)} pictures were written"
                ) from None
            bar.update()
    return 0 if written == len(sources) else 1


def _identity(path: Path) -> tuple[int, int]:
    """The same for two names of one file."""
    status = path.stat()
    return status.st_dev, status.st_ino
