"""`vcam watch`: the state of the program that runs, a JSON object a line, as it changes."""

import argparse
import json
import sys

from vcam_relight.vcam.cli.remote import stream


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--changes`."""
    parser.add_argument(
        "--changes", action="store_true", help="a line only when settings or state are others"
    )


def run(args: argparse.Namespace) -> int:
    """Prints until the program ends, and returns 0.

    Raises:
        VcamError: no program runs.
    """
    last = None
    for state in stream("/watch"):
        now = (state["settings_id"], state["state"], state["reason"])
        if now != last or not args.changes:
            sys.stdout.write(json.dumps(state) + "\n")
            sys.stdout.flush()
        last = now
    return 0
