"""`vcam invite`: a link for people who join a running `vcam serve`, made beside it."""

import argparse

from vcam_relight.vcam.cli.commands.serve import (
    MOST_PEOPLE,
    add_secret_argument,
    count_up_to,
    duration,
    origin,
    secret_of_args,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For whom, for how long, and to which server."""
    parser.add_argument(
        "origin", type=origin, metavar="URL", help="of the server: https://relight.example.org"
    )
    parser.add_argument(
        "--people",
        type=count_up_to(MOST_PEOPLE),
        default=1,
        metavar="N",
        help="who may be in by the link at once (1)",
    )
    parser.add_argument(
        "--for",
        dest="lifetime",
        type=duration,
        default=2 * 3600.0,
        metavar="TIME",
        help="how long it is good for: 30m, 12h, 7d (2h)",
    )
    add_secret_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the link; returns 0.

    Raises:
        InputError: the secret cannot be used.
    """
    from vcam_relight.web.guests import join_url
    from vcam_relight.web.invitations import Invitations

    print(join_url(args.origin, Invitations(secret_of_args(args)), args.lifetime, args.people))
    return 0
