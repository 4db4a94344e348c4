"""The options that say what is seen behind people."""

import argparse
from pathlib import Path
from typing import Any

from vcam_relight.pipeline.compositing.backdrop import BACKDROPS, Backdrop
from vcam_relight.vcam.core.errors import InputError, UsageError
from vcam_relight.vcam.media.image import read_image
from vcam_relight.vcam.settings.parsing import backdrop_kind, color_of, parse


def add_backdrop_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them; None means: not given."""
    group = parser.add_argument_group("backdrop")
    group.add_argument(
        "--backdrop",
        metavar="|".join([*BACKDROPS[:-1], "FILE"]),
        help="what is behind you: your room, blurred, dimmed, grey; a colour; or a picture",
    )
    group.add_argument(
        "--backdrop-amount", type=float, metavar="0..1", help="of blur, dim and gray (0.5)"
    )
    group.add_argument("--backdrop-color", metavar="#RRGGBB", help="of color")


def backdrop_changes(args: argparse.Namespace) -> tuple[dict[str, Any], Path | None]:
    """The settings that were asked for, and the picture's file, if it is one.

    Raises:
        UsageError: a value makes no sense, or there is no such file.
    """
    given = {
        name: getattr(args, name)
        for name in ("backdrop", "backdrop_amount", "backdrop_color")
        if getattr(args, name) is not None
    }
    picture = None
    wish = given.get("backdrop")
    if wish is not None and wish not in BACKDROPS[:-1]:
        picture = Path(wish)
        if not picture.is_file():
            kinds = ", ".join(BACKDROPS[:-1])
            raise UsageError(f"there is no backdrop {wish!r}", f"name a picture, or one of {kinds}")
        given["backdrop"] = "picture"
    try:
        return {name: parse(name, value, {}) for name, value in given.items()}, picture
    except InputError as error:
        raise UsageError(error.what, error.hint) from None


def backdrop_of_args(args: argparse.Namespace) -> Backdrop:
    """What a command on files is to put behind people.

    Raises:
        UsageError, InputError: what was asked for cannot be used.
    """
    changes, picture = backdrop_changes(args)
    return Backdrop(
        backdrop_kind(changes.get("backdrop", "keep")),
        changes.get("backdrop_amount", 0.5),
        color_of(changes.get("backdrop_color", "#000000")),
        read_image(picture).image if picture else None,
    )
