"""`vcam next`: the preset after the one that is on; for a key of the keyboard, or a pedal."""

import argparse

from vcam_relight.vcam.cli.commands.set import print_ack
from vcam_relight.vcam.cli.remote import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print what the program answers")


def run(args: argparse.Namespace) -> int:
    """Prints what is on now and returns 0.

    Raises:
        VcamError: no program runs.
    """
    return print_ack(ask("POST", "/next", {}), as_json=args.json)
